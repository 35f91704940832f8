"""Levenberg-Marquardt for a batch of problems of equal size, each of one or more hands."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .chain import Hands
from .kinematics import PARAMETERS, POSE
from .terms import Sums

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-7, 1e6
_MORE, _LESS = 4.0, 1 / 3.0  # factors on the damping after a step that did not help, and after one that did
_LARGEST_TURN = 0.6  # radians; of a rotation or a joint in one step
_ENOUGH = 1e-4  # share of its cost by which a problem must still improve

Evaluate = Callable[[Hands, np.ndarray], Sums]
"""Returns the normal equations of hands, which belong to the problems of the given numbers."""


def minimise(hands: Hands, problems: int, evaluate: Evaluate, steps: int) -> tuple[Hands, np.ndarray, np.ndarray]:
    """Minimise the costs of a batch of problems.

    Parameters
    ----------
    hands : Hands
        The hands to start from, those of each problem together.
    problems : int
        Number of problems.
    evaluate : Evaluate
        The terms.
    steps : int
        Largest number of steps.

    Returns
    -------
    hands : Hands
        The best hands that were met, those to start from at worst.
    cost : (B,) float64
        Their costs.
    converged : (B,) bool
        Whether the last step of each problem improved its cost by little.
    """
    each = len(hands) // problems
    sums = evaluate(hands, np.arange(problems))
    damping = np.full(problems, _FIRST_DAMPING)
    converged = np.zeros(problems, dtype=bool)
    running = np.isfinite(sums.cost)
    for _ in range(steps):
        active = np.flatnonzero(running)
        if not len(active):
            break
        rows = (active[:, None] * each + np.arange(each)).ravel()
        step = _step(sums, active, damping[active], each)
        trial = hands.rows(rows).moved(step.reshape(len(rows), PARAMETERS))
        tried = evaluate(trial, active)
        gain = sums.cost[active] - tried.cost
        better = np.isfinite(gain) & (gain >= 0)
        finished = better & (gain < _ENOUGH * sums.cost[active])
        chosen = np.flatnonzero(better)
        hands = hands.replaced(rows.reshape(-1, each)[chosen].ravel(), trial.rows(np.repeat(better, each)))
        for kept, new in ((sums.cost, tried.cost), (sums.gradient, tried.gradient), (sums.normal, tried.normal)):
            kept[active[chosen]] = new[chosen]
        damping[active] = np.where(better, np.maximum(damping[active] * _LESS, _LEAST_DAMPING), damping[active] * _MORE)
        stuck = damping[active] >= _MOST_DAMPING
        converged[active] = finished
        running[active] = ~finished & ~stuck
    return hands, sums.cost, converged


def _step(sums: Sums, active: np.ndarray, damping: np.ndarray, each: int) -> np.ndarray:
    """Return the damped steps (A, P) of the active problems; no rotation and no joint turns too far."""
    normal = sums.normal[active]
    diagonal = np.arange(normal.shape[1])
    normal[:, diagonal, diagonal] += damping[:, None] * (normal[:, diagonal, diagonal] + 1e-9)
    step: np.ndarray = np.linalg.solve(normal, -sums.gradient[active][..., None])[..., 0]
    turns = step.reshape(len(active), each, PARAMETERS)[:, :, np.r_[0:3, 6:POSE]]
    largest = np.maximum(np.abs(turns).max(axis=(1, 2)), 1e-9)
    return step * np.minimum(1.0, _LARGEST_TURN / largest)[:, None]
