"""A person's corrections of a placed hand: keypoints at given pixels, their depth kept, the rest as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import (
    KEYPOINT_COUNT,
    KEYPOINT_PARENTS,
    MIDDLE_MCP,
    WRIST,
    HandKeypoints,
    check_keypoints,
)
from im2hands.keypoints.hypothesis import HandDetection

from .observation import Observation
from .solve import place_each
from .terms import ENDS, STARTS

NEAREST_M = 0.05
"""Least depth of a corrected keypoint, metres."""
_LEAST_PALM_M = 1e-3

# Standard deviations of the fit: of a place that a person gave, of one that stays, and of one on the way to a corrected
# keypoint (palm lengths); of the direction of a bone that stays, and of one on that way (of unit directions).
_GIVEN, _STAYS, _BETWEEN = 0.002, 0.02, 0.12
_DIRECTION_STAYS, _DIRECTION_BETWEEN = 0.05, 0.15
_AS_GIVEN = ("file",)  # sources whose keypoints are taken as they are, whether a hand can have them or not


@dataclass(frozen=True)
class Correction:
    """What a person corrected on one hand.

    Parameters
    ----------
    points : dict of int to (float, float, float)
        By number of the keypoint: x and y in the picture, pixels, and the shift away from the camera, metres.
    """

    points: Mapping[int, tuple[float, float, float]]

    def over(self, other: Correction | None) -> Correction:
        """Return this correction together with an earlier one, which counts where this one says nothing."""
        return self if other is None else Correction({**other.points, **self.points})


def corrected(hand: HandKeypoints, correction: Correction, camera: Camera, what: str) -> HandKeypoints:
    """Correct a placed hand.

    The corrected keypoints project to their pixels, at the depth that they had, plus a shift. The other keypoints stay
    where they are as far as a hand can do that. Keypoints of a file are moved by themselves, without the fit.

    Parameters
    ----------
    hand : HandKeypoints
        The hand as it was placed.
    correction : Correction
        The corrections.
    camera : Camera
        Camera of the picture.
    what : str
        The hand in messages.

    Returns
    -------
    HandKeypoints
        The hand; its corrected keypoints have full confidence.

    Raises
    ------
    InputError
        No hand has its keypoints there.
    """
    numbers = np.array(sorted(correction.points))
    given = np.array([correction.points[k] for k in numbers])
    moved = hand.positions.copy()
    depth = np.maximum(moved[numbers, 2] + given[:, 2], NEAREST_M)
    moved[numbers] = camera.unproject(given[:, :2], depth)
    positions = moved if hand.source in _AS_GIVEN else _fitted(hand, moved, numbers, camera)
    try:
        positions = check_keypoints(positions, what)
    except InputError as error:
        raise InputError(
            f"The corrected keypoints are of no hand. {error.message}", "Correct them, or take the edit back."
        ) from error
    pixels, confidence = hand.pixels.copy(), np.array(hand.confidence, np.float64)
    pixels[numbers], confidence[numbers] = given[:, :2], 1.0
    return replace(hand, positions=positions, pixels=pixels, confidence=confidence)


def _fitted(hand: HandKeypoints, moved: np.ndarray, numbers: np.ndarray, camera: Camera) -> np.ndarray:
    """Fit a possible hand to the moved keypoints (21, 3); the corrected ones, ``numbers``, count most.

    The joints between the nearest one that stays and a corrected one go along with it, so that a dragged fingertip
    bends its whole finger.
    """
    moved = moved.copy()
    places = np.full(KEYPOINT_COUNT, _STAYS)
    loose = np.zeros(KEYPOINT_COUNT, dtype=bool)
    for tip in numbers:
        chain = [int(tip)]
        while (parent := KEYPOINT_PARENTS[chain[-1]]) > WRIST and parent not in numbers:
            chain.append(parent)
        between = [k for k in chain[1:] if KEYPOINT_PARENTS[k] > WRIST]  # the knuckle stays
        for step, k in enumerate(between, 1):
            moved[k] += (moved[tip] - hand.positions[tip]) * (1 - step / (len(between) + 1))
        places[between] = _BETWEEN
        loose[chain] = True
    places[numbers] = _GIVEN
    toward = np.where(loose[STARTS] | loose[ENDS], _DIRECTION_BETWEEN, _DIRECTION_STAYS)
    # The palm's length is that of the moved keypoints, so that pixels and the kept depth are of one hand.
    palm_m = max(float(np.linalg.norm(moved[MIDDLE_MCP] - moved[WRIST])), _LEAST_PALM_M)
    pixels = camera.project(moved)
    detection = HandDetection(hand.side, pixels, moved, hand.confidence, hand.score, hand.source)
    seen = Observation(detection, camera, palm_m, pixels, moved, places, toward, hand.confidence)
    fitted = place_each([seen])[0].keypoints()[0] * seen.mirror
    if not np.isfinite(fitted).all() or fitted[:, 2].min() < NEAREST_M:
        return moved
    return fitted
