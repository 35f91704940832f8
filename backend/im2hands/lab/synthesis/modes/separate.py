"""Modes of two hands that do not touch."""

from __future__ import annotations

import numpy as np

from .contact import facing, steeple
from .placement import FORWARD, LEFT, RIGHT, Start, both_angles, free, placed, reaching, unit


def apart(rng: np.random.Generator) -> Start:
    """Draw hands that are more than 30 mm apart."""
    return free(rng, 0.034, 0.30, (0.20, 0.38))


def near(rng: np.random.Generator) -> Start:
    """Draw hands a few millimetres to 30 mm apart: free, or placed as for a contact that is not made."""
    low = rng.uniform(0.004, 0.018)
    if rng.uniform() < 0.5:
        made = free(rng, low, low + 0.006, (0.10, 0.16))
    else:
        made = (facing if rng.uniform() < 0.5 else steeple)(rng)
        made.pulls = []
        made.place = made.place * (1.0 + 8 * low)
    made.gap = (low, low + 0.006)
    return made


def behind(rng: np.random.Generator) -> Start:
    """Draw one hand behind the other, as seen by the camera."""
    (d0, n0), (d1, n1) = reaching(rng, LEFT, 0.9), reaching(rng, RIGHT, 0.9)
    view = unit(FORWARD + 0.5 * rng.standard_normal(3)) * rng.choice([-1.0, 1.0])
    half = view * rng.uniform(0.04, 0.09) + 0.012 * rng.standard_normal(3)
    made = placed([d0, d1], [n0, n1], [-half, half], both_angles(rng))
    made.view, made.gap, made.loose = view, (0.005, 0.12), 0.4
    return made
