"""Records that every keypoint source returns: hands detected in one picture, not yet placed in metric camera space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST, Side

OWN, READ, READING = "two_hand_network", "crops", "reading_network"
"""Sources of detections: the two-hand network's own keypoints, and keypoints that MediaPipe's landmark network or the
reading network read in crops. They follow different definitions of the joints."""


@dataclass(frozen=True)
class WristOffset:
    """Vector from a hand's wrist to the same person's other wrist.

    Parameters
    ----------
    vector : (3,) float64
        The offset in palm lengths, axes of the camera frame.
    spread : (3,) float64
        Expected error of each component, palm lengths.
    """

    vector: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class SidedReading:
    """The reading network's answer in a hypothesis's crop when it is given a side.

    Parameters
    ----------
    presence : float
        Probability that a hand of that side is there, in [0, 1].
    gap : float
        Mean distance of its keypoints from the hypothesis's, palm lengths.
    spread : float
        Mean error of the keypoints as the network predicts it, palm lengths.
    """

    presence: float
    gap: float
    spread: float


UNREAD = SidedReading(0.5, 0.0, 0.0)
"""Stands for a reading that was not made, because the network cannot be given a side."""

NOT_READ = SidedReading(np.nan, np.nan, np.nan)
"""Stands for a reading that was not made, to save time."""


@dataclass(frozen=True)
class PhotoReading:
    """What MediaPipe's landmark network, which was trained on photographs, reads in a hypothesis's crop.

    Parameters
    ----------
    presence : float
        Probability of a hand, in [0, 1].
    right : float
        Log odds of a right hand.
    gap : float
        Mean distance of its keypoints from the hypothesis's, palm lengths.
    scatter : float
        Mean distance between its keypoints in the crop and in the mirrored crop, palm lengths.
    pixels : (21, 2) float64
        Its keypoints, pixels.
    shape : (21, 3) float64
        Its keypoints in metres, axes parallel to the camera frame.
    """

    presence: float
    right: float
    gap: float
    scatter: float
    pixels: np.ndarray
    shape: np.ndarray


@dataclass(frozen=True)
class Hypothesis:
    """A hand that may be in a picture. Every step after the readers speaks of hands in this form.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels.
    shape : (21, 3) float64
        Keypoints in metres, axes parallel to the camera frame. The origin and the scale are arbitrary.
    spread : (21,) float64
        Scatter of the readings and their predicted errors together, palm lengths.
    presence : float
        Mean probability of a hand over the readings, in [0, 1].
    agreement : float
        Share of the readings whose keypoints agree, in [0, 1]; 0 for a hand that no crop leads to.
    network_right : float
        Log odds of a right hand, from the networks' outputs.
    shape_right : float
        Log odds of a right hand, from the chirality of ``shape``.
    support : float
        Share of all readings that fall on this hand, in [0, 1].
    source : str
        The proposer: "mediapipe", "two_hand_network", "palms", "neighbours" or "boxes".
    sided : tuple[SidedReading, SidedReading]
        The readings as a left and as a right hand.
    photo : PhotoReading or None
        The reading of MediaPipe's landmark network. None for a hand that no crop leads to.
    detector : float
        Highest score of MediaPipe's palm detector for a palm at this place, in [0, 1]. NaN if it was not run.
    task : float
        Score of MediaPipe's tasks API for this hand, in [0, 1]; 0 if it did not detect it, NaN if it was not run.
    own : bool
        Whether the keypoints are the two-hand network's own, because no crop leads to this hand.
    wrist_offset : WristOffset or None
        Vector to the other wrist. None if the two-hand network did not read this hand.
    """

    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray
    presence: float
    agreement: float
    network_right: float
    shape_right: float
    support: float
    source: str
    sided: tuple[SidedReading, SidedReading] = (UNREAD, UNREAD)
    photo: PhotoReading | None = None
    detector: float = np.nan
    task: float = np.nan
    own: bool = False
    wrist_offset: WristOffset | None = None

    @property
    def right(self) -> float:
        """Log odds of a right hand, all evidence of this hand alone."""
        return self.network_right + self.shape_right


_LARGEST_PALM = 10.0
"""A lifted shape whose palm is longer or shorter by this factor than the unit is none of a hand."""


@dataclass(frozen=True)
class LiftedHand:
    """A hand's 3D shape as the lifting network estimates it, with the joints of the bundled hand.

    Parameters
    ----------
    shape : (21, 3) float64
        Keypoints relative to the wrist, palm lengths, as viewed along the ray through the hand's middle. For a hand on
        the optical axis the axes are parallel to the camera frame.
    spread : (21,) float64
        Expected error of each coordinate of ``shape``, palm lengths.
    pixels : (21, 2) float64
        Keypoints in the picture, pixels.
    pixel_spread : (21,) float64
        Expected error of each coordinate of ``pixels``, pixels.
    depth : float or None
        Distance from this wrist to the person's other wrist along the optical axis, palm lengths. None without another
        hand.
    depth_spread : float or None
        Expected error of ``depth``, palm lengths. None without another hand.
    """

    shape: np.ndarray
    spread: np.ndarray
    pixels: np.ndarray
    pixel_spread: np.ndarray
    depth: float | None
    depth_spread: float | None

    @property
    def sound(self) -> bool:
        """Whether all keypoints and spreads are numbers, and shape and pixels have an extent of a hand."""
        arrays = (self.shape, self.spread, self.pixels, self.pixel_spread)
        if not all(np.isfinite(values).all() for values in arrays):
            return False
        palm = float(np.linalg.norm(self.shape[MIDDLE_MCP] - self.shape[WRIST]))
        return bool(1 / _LARGEST_PALM < palm < _LARGEST_PALM and np.ptp(self.pixels, axis=0).max() >= 1.0)


@dataclass(frozen=True)
class SkinLandmarks:
    """Points on the skin of a hand as the reading network reads them, in the order of ``geometry.skin_points``.

    Parameters
    ----------
    pixels : (128, 2) float64
        Places in pixels of the frame; also of hidden points, and beyond the edges of the picture.
    spread : (128,) float64
        Expected error of each coordinate of ``pixels``, pixels (scale of a Laplace distribution).
    visible : (128,) float64
        Probability that the picture shows the point, in [0, 1].
    """

    pixels: np.ndarray
    spread: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class HandMask:
    """Where the square of a picture around its hands shows hands and forearms.

    Parameters
    ----------
    chance : (S, S) float16
        Probability that a cell shows a hand of either side or its forearm, in [0, 1].
    to_map : (2, 3) float64
        From pixels of the frame to column and row of the cells; both axes are scaled alike.
    """

    chance: np.ndarray
    to_map: np.ndarray


@dataclass(frozen=True)
class HandDetection:
    """One hand detected in one picture.

    Parameters
    ----------
    side : Side
        The person's own left or right hand, in a picture that is not mirrored.
    pixels : (21, 2) float64
        Keypoints in pixels of the frame, file order.
    shape : (21, 3) float64
        Keypoints in metres, axes parallel to the camera frame. The origin and the scale are arbitrary.
    confidence : (21,) float64
        Confidence of each keypoint, in [0, 1].
    score : float
        Confidence in the hand as a whole and in its side, in [0, 1].
    source : str
        Where the keypoints come from: "mediapipe" (its tasks API), ``READ``, ``READING`` or ``OWN``.
    wrist_offset : WristOffset or None
        Vector to the other wrist. None if the two-hand network did not read this hand.
    note : str
        A message for the user about the picture in which this hand was chosen; empty if there is none.
    lifted : LiftedHand or None
        The 3D shape from the lifting network. None if that network was not run.
    skin : SkinLandmarks or None
        Points on the skin. None if the reading network was not run at its end, or was not taught them.
    mask : HandMask or None
        What around the hands of the picture is hand; the hands of a picture share it. None if it was not looked for.
    """

    side: Side
    pixels: np.ndarray
    shape: np.ndarray
    confidence: np.ndarray
    score: float
    source: str
    wrist_offset: WristOffset | None = None
    note: str = ""
    lifted: LiftedHand | None = None
    skin: SkinLandmarks | None = None
    mask: HandMask | None = None


def with_side(detection: HandDetection, right: float) -> HandDetection:
    """Set a detection's side and score from log odds.

    Parameters
    ----------
    detection : HandDetection
        The detection.
    right : float
        Log odds of a right hand.

    Returns
    -------
    HandDetection
        The detection with the more probable side. Its score is that side's probability.
    """
    score = float(1 / (1 + np.exp(-abs(right))))
    return replace(detection, side="right" if right > 0 else "left", score=score)
