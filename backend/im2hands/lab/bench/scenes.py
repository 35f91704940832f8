"""Keypoints of two hands made on the spot, for tests and benchmarks: apart, touching, fingers close together."""

from __future__ import annotations

import numpy as np

from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.datasets.part_occupancy import posed_hands

# Lengths of the bones of a flat hand, and the directions of its fingers: thumb to little finger.
_ANGLES = (-50, -12, 0, 10, 20)
_KNUCKLES = (40, 88, 88, 84, 78)
_PHALANGES = (32, 25, 22)


def scenes() -> dict[str, TwoHands]:
    """Scenes by name, half a metre before the camera."""
    return {
        "apart": flat_hands(),
        "touching": posed(5),
        "touching, other poses": posed(8),
        "closed fingers": flat_hands(closed=True),
    }


def posed(seed: int) -> TwoHands:
    """Two hands in random poses of which the index tip of one touches the ring finger of the other."""
    keypoints = posed_hands(2, seed, mean=True).keypoints.double().numpy()
    turn = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # fingers up, seen from the side
    right, left = keypoints[0] @ turn, keypoints[1] @ turn * np.array([-1.0, 1, 1])
    left += right[8] - left[15] + np.array([0.012, 0, 0])
    centre = np.array([0, 0, 0.5]) - np.concatenate([right, left]).mean(0)
    return _two(left + centre, right + centre)


def flat_hands(*, closed: bool = False) -> TwoHands:
    """Two flat hands side by side; or small ones with closed fingers, one laid upon the other."""
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
    nowhere, sure = np.zeros((21, 2)), np.ones(21)
    return TwoHands(
        HandKeypoints("left", left, nowhere, sure, 1.0, "made"),
        HandKeypoints("right", right, nowhere, sure, 1.0, "made"),
    )
