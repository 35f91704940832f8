"""Records that every keypoint source returns: hands detected in one picture, not yet placed in metric camera space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from im2hands.core.hands import Side
from im2hands.media.source import Frame


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
        What found the hand: "mediapipe", "crop_search", "tracking", "boxes", "palm_seed" or "network".
    wrist_offset : WristOffset or None
        Vector to the other wrist. None if the two-hand network did not read this hand.
    note : str
        A message for the user about the picture in which this hand was chosen; empty if there is none.
    lifted : LiftedHand or None
        The 3D shape from the lifting network. None if that network was not run.
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


class KeypointProvider(Protocol):
    """Finds at most one left and one right hand per frame. Not thread-safe; frames come in order."""

    name: str

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        """Detect the hands of a frame.

        Parameters
        ----------
        frame : Frame
            The frame.
        previous : Sequence[HandDetection]
            The hands of the frame before it; empty for photos.

        Returns
        -------
        list[HandDetection]
            At most one left and one right hand.

        Raises
        ------
        FrameError
            If this frame cannot be used. The next frame may still be usable.
        """
        ...

    def close(self) -> None:
        """Release the provider's resources."""
        ...
