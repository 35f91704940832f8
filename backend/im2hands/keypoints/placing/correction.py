"""A person's corrections of a placed hand: keypoints at given pixels, their depth kept, the rest of the hand as it was.

The joint solve of a clip may take the place of this fit: a correction is only pixels, shifts and which they are of.
"""

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

from .anatomical_fit import Trust, fit_hand

# The fingers' bones, whose directions the fit takes: those that do not begin at the wrist.
_ENDS = np.array([k for k in range(KEYPOINT_COUNT) if KEYPOINT_PARENTS[k] > WRIST])
_STARTS = np.array(KEYPOINT_PARENTS)[_ENDS]

NEAREST_M = 0.05
"""Least depth of a corrected keypoint, metres."""

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


def corrected(hand: HandKeypoints, correction: Correction, camera: Camera, palm_m: float, what: str) -> HandKeypoints:
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
    palm_m : float
        Distance from wrist to middle MCP, metres.
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
    positions = moved if hand.source in _AS_GIVEN else _fitted(hand, moved, numbers, camera, palm_m)
    try:
        positions = check_keypoints(positions, what)
    except InputError as error:
        raise InputError(
            f"The corrected keypoints are of no hand. {error.message}", "Correct them, or take the edit back."
        ) from error
    pixels, confidence = hand.pixels.copy(), np.array(hand.confidence, np.float64)
    pixels[numbers], confidence[numbers] = given[:, :2], 1.0
    return replace(hand, positions=positions, pixels=pixels, confidence=confidence)


def _fitted(hand: HandKeypoints, moved: np.ndarray, numbers: np.ndarray, camera: Camera, palm_m: float) -> np.ndarray:
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
    directions = np.where(loose[_STARTS] | loose[_ENDS], _DIRECTION_BETWEEN, _DIRECTION_STAYS)
    # Where many keypoints were corrected, the palm's size in the picture may say another distance: the person's own
    # pixels and the kept depth are of one hand only if its length is that of the moved keypoints.
    length = float(np.linalg.norm(hand.positions[MIDDLE_MCP] - hand.positions[WRIST]))
    palm = palm_m if abs(np.log(max(length, 1e-6) / palm_m)) < np.log(2) else length
    target = camera.project(moved)
    fitted = fit_hand(moved, target, Trust(places, directions), camera, hand.side, palm)
    if not np.isfinite(fitted).all() or fitted[:, 2].min() < NEAREST_M:
        return moved
    return fitted
