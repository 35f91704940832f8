"""Combines repeated readings of one hand in slightly different crops into one estimate of presence, side, keypoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.hand_geometry import CHIRALITY_WEIGHT, chirality, log_odds, palm_length
from im2hands.keypoints.hypothesis import HandDetection, with_side

from .crops import crops_around
from .network import LandmarkNetwork
from .readings import Part

# Per crop: turn (radians), size factor, shift in x and y (crop sizes). Each crop is read as it is and mirrored.
_VARIATIONS = np.array(
    [
        (0.00, 1.00, 0.00, 0.00),
        (0.25, 0.90, 0.04, 0.00),
        (-0.25, 1.15, 0.00, 0.05),
        (0.15, 1.25, -0.05, 0.00),
        (-0.15, 0.85, 0.00, -0.04),
        (0.35, 1.05, 0.03, 0.04),
        (-0.35, 1.00, -0.04, -0.03),
    ]
)
# A reading agrees if its keypoints lie within this distance (mean, palm lengths) of the median of all readings, and if
# it is a hand with more than this presence.
_AGREEMENT, _PRESENT = 0.25, 0.5
# From this presence and agreement on, a reading of MediaPipe's network is taken to be correct.
_STEADY_PRESENCE, _STEADY_AGREEMENT = 0.9, 0.95


@dataclass(frozen=True)
class Consensus:
    """Combined result of the repeated readings of one hand.

    Parameters
    ----------
    presence : float
        Mean presence of the readings, in [0, 1].
    agreement : float
        Share of the readings whose keypoints agree with the median, in [0, 1].
    right : float
        Log odds of a right hand, from the network (picture and mirror image) and from the shape's chirality.
    network_right : float
        Log odds of a right hand, from the network alone.
    pixels : (21, 2) float64
        Median of the agreeing readings, pixels.
    shape : (21, 3) float64
        Median of the agreeing readings, metres.
    spread : (21,) float64
        Mean distance of the agreeing readings from the median, palm lengths.
    predicted_error : (21,) float64
        Error of a coordinate as the network itself predicts it, palm lengths; 0 if it predicts none.
    """

    presence: float
    agreement: float
    right: float
    network_right: float
    pixels: np.ndarray
    shape: np.ndarray
    spread: np.ndarray
    predicted_error: np.ndarray = field(default_factory=lambda: np.zeros(KEYPOINT_COUNT))

    @property
    def steady(self) -> bool:
        """Whether the hand was read with high presence and in the same place in nearly every crop."""
        return self.presence >= _STEADY_PRESENCE and self.agreement >= _STEADY_AGREEMENT

    def detection(self, source: str) -> HandDetection:
        """Return the consensus as a detection.

        Keypoints that are uncertain, or that lie in different places, get a lower confidence.

        Parameters
        ----------
        source : str
            The detection's source.

        Returns
        -------
        HandDetection
            The detection with the side and the score that ``right`` gives.
        """
        spread = np.hypot(self.spread, self.predicted_error)
        sure = self.presence * self.agreement * np.exp(-((spread / _AGREEMENT) ** 2))
        hand = HandDetection("right", self.pixels, self.shape, np.clip(sure, 0, 1), 1.0, source)
        return with_side(hand, self.right)


def read_repeatedly(
    network: LandmarkNetwork,
    image: np.ndarray,
    pixels: np.ndarray,
    crops_each: int = len(_VARIATIONS),
    side: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> list[Consensus]:
    """Read hands again in varied crops around their keypoints.

    Parameters
    ----------
    network : LandmarkNetwork
        Reads the crops.
    image : (H, W, 3) uint8
        RGB picture.
    pixels : (N, 21, 2) float64
        Keypoints of the hands, pixels.
    crops_each : int
        Crops per hand, at most 7. Each is read twice, as it is and mirrored.
    side : int
        1 to read right hands only, -1 to read left hands only, 0 to read any hand.
    cancelled : callable or None
        Called between batches of crops. If it returns True, ``Cancelled`` is raised.

    Returns
    -------
    list[Consensus]
        One consensus per hand, in order.
    """
    base = crops_around(pixels)
    variations = _VARIATIONS[:crops_each]
    crops = np.repeat(base[:, None], len(variations), axis=1)
    crops[..., :2] += variations[:, 2:] * crops[..., 2:3]
    crops[..., 2] *= variations[:, 1]
    crops[..., 3] += variations[:, 0]
    parts = [Part(crops.reshape(-1, 4), side, mirrored) for mirrored in (False, True)]
    read = network.read_parts(image, parts, cancelled=cancelled)
    grid = (len(base), len(variations))

    def of_each_hand(name: str) -> np.ndarray:
        values = [getattr(part, name) for part in read]
        return np.concatenate([value.reshape(*grid, *value.shape[1:]) for value in values], axis=1)

    told = [of_each_hand(name) for name in ("presence", "right", "pixels", "shape", "spread")]
    return [_combine(*hand) for hand in zip(*told, strict=True)]


def _combine(
    presence: np.ndarray, right: np.ndarray, keypoints: np.ndarray, shapes: np.ndarray, errors: np.ndarray
) -> Consensus:
    """Combine R readings of a hand: presence, right (R,), keypoints (R, 21, 2), shapes (R, 21, 3), errors (R, 21)."""
    median = np.median(keypoints, axis=0)
    gaps = np.linalg.norm(keypoints - median, axis=-1) / palm_length(median)
    agree = (gaps.mean(axis=1) < _AGREEMENT) & (presence > _PRESENT)
    chosen = agree if agree.any() else np.ones(len(agree), dtype=bool)
    pixels, shape = np.median(keypoints[chosen], axis=0), np.median(shapes[chosen], axis=0)
    network_right = float(log_odds(right[chosen].mean()))
    total = network_right + CHIRALITY_WEIGHT * float(chirality(shape))
    spread = np.linalg.norm(keypoints[chosen] - pixels, axis=-1).mean(axis=0) / palm_length(pixels)
    return Consensus(
        float(presence.mean()), float(agree.mean()), total, network_right, pixels, shape, spread,
        errors[chosen].mean(axis=0),
    )  # fmt: skip
