"""Modes of a scene with one hand."""

from __future__ import annotations

import numpy as np

from .placement import (
    LEFT,
    RIGHT,
    TIPS,
    Start,
    both_angles,
    fist_pulls,
    perpendicular,
    placed,
    random_angles,
    random_direction,
    set_flexion,
)


def alone(rng: np.random.Generator) -> Start:
    """Draw one hand in any orientation."""
    hand = int(rng.integers(2))
    d, n = perpendicular(random_direction(rng), random_direction(rng))
    made = placed([d, d], [n, n], [np.zeros(3), np.zeros(3)], both_angles(rng))
    made.present = (hand == LEFT, hand == RIGHT)
    return made


def pinch(rng: np.random.Generator) -> Start:
    """Draw one hand whose thumb touches the tips of one, two or four other fingers."""
    made = alone(rng)
    hand = LEFT if made.present[LEFT] else RIGHT
    made.angles[hand] = random_angles(rng, rng.choice([0.1, 0.35, 0.7]))
    number = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    first = int(rng.integers(1, 6 - number))
    for finger in range(first, first + number):
        set_flexion(made.angles, hand, (45, 45, 25), (finger,))
        made.within.append((hand, TIPS[finger], "thumb_tip", 6.0))
    set_flexion(made.angles, hand, (20, 20, 20), (0,))
    made.freedom[hand] = 0.5
    return made


def fist(rng: np.random.Generator) -> Start:
    """Draw one hand closed to a fist."""
    made = alone(rng)
    hand = LEFT if made.present[LEFT] else RIGHT
    made.angles[hand] = random_angles(rng, 0.92, 0.0)
    set_flexion(made.angles, hand, (30, 35, 40), (0,))
    made.within = fist_pulls(hand)
    return made
