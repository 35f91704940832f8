"""Two placed hands that lie in each other are taken apart; the picture, the shapes and other hands stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chain_hands import random_hands

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS, HandKeypoints, Side, TwoHands
from im2hands.keypoints.placing.apart import taken_apart

CAMERA = Camera.from_fov(55, 1280, 960)
SIGNS = {"left": np.array([-1.0, 1.0, 1.0]), "right": np.ones(3)}


def hand(side: Side, seed: int, at: tuple[float, float, float]) -> HandKeypoints:
    """A possible hand whose middle is at a place."""
    points = random_hands([seed]).keypoints()[0] * SIGNS[side]
    points += np.array(at) - points.mean(axis=0)
    return HandKeypoints(side, points, CAMERA.project(points), np.ones(21), 0.9, "network")


def pair(apart: float, seed: int = 3) -> TwoHands:
    """Both hands, one behind the other by ``apart`` metres."""
    return TwoHands(
        left=hand("left", seed, (0.0, 0.0, 0.5)), right=hand("right", seed + 1, (0.004, 0.003, 0.5 + apart))
    )


def gap(hands: TwoHands) -> float:
    """The least distance between the bones of both hands, metres."""
    parents, shares = np.array(KEYPOINT_PARENTS[1:]), np.linspace(0, 1, 6)[:, None, None]
    left, right = (
        (one.positions[1:] * shares + one.positions[parents] * (1 - shares)).reshape(-1, 3) for one in hands.present()
    )
    return float(np.linalg.norm(left[:, None] - right, axis=-1).min())


@pytest.mark.parametrize("seed", [3, 9])
def test_hands_in_each_other_are_taken_apart(seed: int) -> None:
    before = pair(0.012, seed)
    after = taken_apart(before, CAMERA)
    assert gap(before) < 0.004
    assert gap(after) > 0.006  # the tips of two fingers
    for old, new in zip(before.present(), after.present(), strict=True):
        moved = np.linalg.norm(CAMERA.project(new.positions) - CAMERA.project(old.positions), axis=1)
        assert moved.mean() < 40.0  # a palm is 190 px long, and whole palms lay in each other
        assert np.abs(new.positions - old.positions).max() < 0.08
        assert (new.pixels == old.pixels).all()  # what was seen stays
        lengths = [np.linalg.norm(one.positions[1:] - one.positions[list(KEYPOINT_PARENTS[1:])], axis=1)
                   for one in (old, new)]  # fmt: skip
        assert np.abs(lengths[1] - lengths[0]).max() < 0.002


def test_other_hands_stay() -> None:
    far = pair(0.3)
    assert taken_apart(far, CAMERA) is far
    alone = TwoHands(left=far.left)
    assert taken_apart(alone, CAMERA) is alone


def test_one_hand_upon_the_other() -> None:
    """Keypoints of one hand, given for both sides."""
    left = hand("left", 3, (0.0, 0.0, 0.5))
    after = taken_apart(TwoHands(left=left, right=replace(left, side="right")), CAMERA)
    assert all(np.isfinite(one.positions).all() for one in after.present())
    assert all(one.positions[:, 2].min() > 0.05 for one in after.present())


def test_contradictory_keypoints_are_left_alone_or_finite() -> None:
    rng = np.random.default_rng(0)
    hands = pair(0.01)
    assert hands.left is not None
    torn = replace(hands.left, positions=hands.left.positions + rng.normal(0, 0.05, (21, 3)))
    after = taken_apart(TwoHands(left=torn, right=hands.right), CAMERA)
    assert all(np.isfinite(one.positions).all() for one in after.present())
