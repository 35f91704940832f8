"""Hands are moved out of each other in depth, and left where they are apart."""

from __future__ import annotations

import numpy as np
import pytest
from hand_pictures import hand_shape
from im2hands.keypoints.apart import move_apart, spheres

PALM = 0.088


def two_hands(depth: float, aside: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A left hand, and a right one behind it (depth above 0) and beside it, metres."""
    left, right = hand_shape("left"), hand_shape("right")
    place = np.array([0.0, 0.0, 0.6])
    left, right = left - left.mean(axis=0) + place, right - right.mean(axis=0) + place
    return left, right + np.array([aside, 0.0, depth])


def overlap(left: np.ndarray, right: np.ndarray) -> float:
    (a, ra), (b, rb) = spheres(left, PALM), spheres(right, PALM)
    return float((ra[:, None] + rb[None] - np.linalg.norm(a[:, None] - b[None], axis=-1)).max())


def moved(left: np.ndarray, right: np.ndarray, move: float) -> tuple[np.ndarray, np.ndarray]:
    return left - np.array([0, 0, move / 2]), right + np.array([0, 0, move / 2])


@pytest.mark.parametrize(("depth", "aside"), [(0.0, 0.4), (0.2, 0.0), (-0.2, 0.0)])
def test_hands_that_are_apart_stay(depth: float, aside: float) -> None:
    assert move_apart(*two_hands(depth, aside), PALM, 0.03) == 0.0


@pytest.mark.parametrize("depth", [0.012, -0.012, 0.004])
def test_hands_in_each_other_part_the_way_they_lie(depth: float) -> None:
    left, right = two_hands(depth)
    before = overlap(left, right)
    move = move_apart(left, right, PALM, 0.03)
    assert np.sign(move) == np.sign(depth) and 0 < abs(move) <= 0.06
    assert overlap(*moved(left, right, move)) < before - 0.004


def test_a_sure_depth_is_hardly_changed() -> None:
    left, right = two_hands(0.01)
    sure, unsure = (move_apart(left, right, PALM, spread) for spread in (0.002, 0.05))
    assert 0 <= sure < 0.006 < unsure
