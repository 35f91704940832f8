"""Interaction modes: how the hands of a scene stand to each other, and how often each mode is drawn.

The package ``modes`` has the starting placement of each mode.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .modes.contact import clasped, crossed, facing, grasping, interlaced, touching
from .modes.placement import LEFT, RIGHT, Start, jittered, within_limits
from .modes.separate import apart, behind, near
from .modes.single import alone, fist, pinch

TWO_HAND_MODES = (
    "apart", "near", "touching", "facing", "clasped", "interlaced", "grasping", "crossed", "behind",
)  # fmt: skip
SINGLE_MODES = ("single", "pinch", "fist")
TOUCHING_MODES = ("touching", "facing", "clasped", "interlaced", "grasping", "crossed")
"""Modes whose hands touch."""

SHARES = {
    "apart": 0.12, "near": 0.10, "touching": 0.16, "facing": 0.12, "clasped": 0.12, "interlaced": 0.14,
    "grasping": 0.12, "crossed": 0.06, "behind": 0.06,
}  # fmt: skip
"""Probability of each mode in scenes of two hands."""


def draw_mode(rng: np.random.Generator) -> str:
    """Draw the name of a two-hand mode with the probabilities in ``SHARES``."""
    names = list(SHARES)
    return str(rng.choice(names, p=np.array([SHARES[n] for n in names])))


def start(mode: str, rng: np.random.Generator, one_person: bool = True) -> Start:
    """Draw a starting placement.

    Parameters
    ----------
    mode : str
        A name in ``TWO_HAND_MODES`` or ``SINGLE_MODES``.
    rng : numpy.random.Generator
        Source of the random numbers.
    one_person : bool
        Whether both hands belong to one person. If so, the forearms leave towards that person's elbows; otherwise they
        may leave in any direction.

    Returns
    -------
    Start
        The placement, with joint angles within their limits.
    """
    made = _STARTS[mode](rng)
    made.mode = mode
    for hand in (LEFT, RIGHT):
        made.along[hand], made.palm[hand] = jittered(rng, made.along[hand], made.palm[hand], 0.10)
    made.angles = within_limits(made.angles)
    if one_person and mode not in SINGLE_MODES:
        sideways = np.array([-1.0, 1.0])
        reach = np.stack([sideways * rng.uniform(0.4, 1.1), np.full(2, rng.uniform(-1.0, -0.1)), np.full(2, 0.6)], -1)
        made.elbows = reach / np.linalg.norm(reach, axis=1, keepdims=True)
    return made


_STARTS: dict[str, Callable[[np.random.Generator], Start]] = {
    "apart": apart,
    "near": near,
    "touching": touching,
    "facing": facing,
    "clasped": clasped,
    "interlaced": interlaced,
    "grasping": grasping,
    "crossed": crossed,
    "behind": behind,
    "single": alone,
    "pinch": pinch,
    "fist": fist,
}
