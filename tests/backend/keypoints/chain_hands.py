"""Helpers: hands of the kinematic chain in given and in random poses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from im2hands.keypoints.placing.chain import Hands
from im2hands.keypoints.placing.kinematics import ANGLE_LIMITS
from im2hands.keypoints.placing.terms import USUAL_SHAPE


def canonical_hand(angles: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) of a right hand with the given angles (5, 4), palm lengths, canonical frame."""
    hand = Hands(np.eye(3)[None], np.zeros((1, 3)), angles[None], np.ones(1), USUAL_SHAPE[None])
    return hand.keypoints()[0]


def bent_hand(curl: float) -> np.ndarray:
    """Keypoints (21, 3) of a right hand, palm lengths: open at curl 0, a fist at 1; the thumb stays open."""
    angles = ANGLE_LIMITS[..., 2] + curl * np.radians((60.0, 80.0, 45.0, 0.0))
    angles[0] = ANGLE_LIMITS[0, :, 2]
    return canonical_hand(angles)


def random_turn(seed: int) -> np.ndarray:
    """A random rotation (3, 3)."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return turn * np.linalg.det(turn)


def random_hands(seeds: Sequence[int], palm: float = 0.088) -> Hands:
    """Hands in random possible poses, half a metre away, with shapes of their own."""
    low, high, _ = np.moveaxis(ANGLE_LIMITS, -1, 0)
    made = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        angles = low + (high - low) * rng.uniform(0.25, 0.75, size=(5, 4))
        shape = USUAL_SHAPE + rng.normal(size=len(USUAL_SHAPE)) * 0.02
        made.append((random_turn(seed), np.array([0.02, -0.03, 0.5]), angles, palm, shape))
    return Hands(*(np.array(values) for values in zip(*made, strict=True)))
