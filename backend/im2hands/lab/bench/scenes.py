"""Generated keypoints of two hands for tests and benchmarks: hands apart, touching, and with closed fingers."""

from __future__ import annotations

import numpy as np

from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.datasets.part_occupancy import posed_hands

# A flat hand, thumb to little finger.
_ANGLES = (-50, -12, 0, 10, 20)  # directions of the fingers, degrees
_KNUCKLES = (40, 88, 88, 84, 78)  # distance from the wrist to each finger's first keypoint, mm
_PHALANGES = (32, 25, 22)  # lengths of the phalanges of every finger, mm


def scenes() -> dict[str, TwoHands]:
    """Return all scenes by name; the hands are half a metre in front of the camera."""
    return {
        "apart": flat_hands(),
        "touching": posed(5),
        "touching, other poses": posed(8),
        "closed fingers": flat_hands(closed=True),
    }


def posed(seed: int) -> TwoHands:
    """Return two hands in random poses; the right index tip is 12 mm from the left ring finger.

    Parameters
    ----------
    seed : int
        Seed of the poses.

    Returns
    -------
    TwoHands
        Camera frame, metres; the 2D keypoints are zero.
    """
    keypoints = posed_hands(2, seed, mean=True).keypoints.double().numpy()
    turn = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # fingers up, seen from the side
    right, left = keypoints[0] @ turn, keypoints[1] @ turn * np.array([-1.0, 1, 1])
    left += right[8] - left[15] + np.array([0.012, 0, 0])
    centre = np.array([0, 0, 0.5]) - np.concatenate([right, left]).mean(0)
    return _two(left + centre, right + centre)


def flat_hands(*, closed: bool = False) -> TwoHands:
    """Return two flat hands.

    Parameters
    ----------
    closed : bool
        False: side by side. True: smaller hands with closed fingers, one 18 mm behind the other.

    Returns
    -------
    TwoHands
        Camera frame, metres; the 2D keypoints are zero.
    """
    rows = [np.zeros(2)]
    for angle, knuckle in zip(_ANGLES, _KNUCKLES, strict=True):
        direction = np.array([np.sin(np.radians(angle)), -np.cos(np.radians(angle))])
        rows += [direction * length / 1000 for length in np.cumsum([knuckle, *_PHALANGES])]
    left = np.column_stack([np.array(rows), [0, *([0.0, 0.004, 0.008, 0.012] * 5)]])
    if closed:
        for finger, across in enumerate((-0.012, 0.0, 0.012, 0.024)):
            left[5 + 4 * finger : 9 + 4 * finger, 0] = across
        left *= 0.75
    mirror = np.array([-1.0, 1, 1])
    right = left * mirror
    if closed:
        return _two(left + np.array([0, 0.05, 0.5]), right + np.array([0, 0.05, 0.518]))
    return _two(left + np.array([-0.08, 0.08, 0.5]), right + np.array([0.08, 0.08, 0.5]))


def _two(left: np.ndarray, right: np.ndarray) -> TwoHands:
    pixels, confidence = np.zeros((21, 2)), np.ones(21)
    return TwoHands(
        HandKeypoints("left", left, pixels, confidence, 1.0, "made"),
        HandKeypoints("right", right, pixels, confidence, 1.0, "made"),
    )
