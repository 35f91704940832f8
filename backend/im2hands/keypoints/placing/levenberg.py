"""Levenberg-Marquardt for a batch of problems of equal size, each of one or more hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from .chain import Hands
from .kinematics import PARAMETERS, POSE

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-7, 1e6
_MORE, _LESS = 4.0, 0.3  # factors on the damping after a step that did not help, and after one that did
_LARGEST_TURN = 0.6  # radians; of a rotation or a joint in one step
_ENOUGH = 1e-4  # share of its cost by which a problem must still improve


class Equations(Protocol):
    """Normal equations of a batch of problems; ``sums.Sums`` explains the methods."""

    cost: np.ndarray

    def rows(self: E, chosen: np.ndarray) -> E: ...

    def put(self: E, rows: np.ndarray, others: E) -> None: ...

    def steps(self, damping: np.ndarray) -> np.ndarray: ...


E = TypeVar("E", bound=Equations)


def minimise(
    hands: Hands, problems: int, evaluate: Callable[[Hands, np.ndarray], E], most: int
) -> tuple[Hands, np.ndarray, np.ndarray]:
    """Minimise the costs of a batch of problems.

    Parameters
    ----------
    hands : Hands
        The hands to start from, those of each problem together.
    problems : int
        Number of problems.
    evaluate : callable
        Returns the normal equations of hands, which belong to the problems of the given numbers.
    most : int
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
    for _ in range(most):
        active = np.flatnonzero(running)
        if not len(active):
            break
        rows = (active[:, None] * each + np.arange(each)).ravel()
        try:
            steps = sums.rows(active).steps(damping[active]).reshape(len(active), each, PARAMETERS)
        except np.linalg.LinAlgError:  # not definite in floating point; more damping makes it so
            damping[active] *= _MORE
            running[active] = damping[active] < _MOST_DAMPING
            continue
        trial = hands.rows(rows).moved(_bounded(steps).reshape(len(rows), PARAMETERS))
        tried = evaluate(trial, active)
        gain = sums.cost[active] - tried.cost
        better = np.isfinite(gain) & (gain >= 0)
        finished = better & (gain < _ENOUGH * sums.cost[active])
        chosen = np.flatnonzero(better)
        hands = hands.replaced(rows.reshape(-1, each)[chosen].ravel(), trial.rows(np.repeat(better, each)))
        if len(chosen):
            sums.put(active[chosen], tried.rows(chosen))
        damping[active] = np.where(better, np.maximum(damping[active] * _LESS, _LEAST_DAMPING), damping[active] * _MORE)
        stuck = damping[active] >= _MOST_DAMPING
        converged[active] = finished
        running[active] = ~finished & ~stuck
    return hands, sums.cost, converged


def _bounded(steps: np.ndarray) -> np.ndarray:
    """Return the steps (B, H, 44) shortened hand by hand so that no rotation and no joint turns too far."""
    turns = steps[:, :, np.r_[0:3, 6:POSE]]
    largest = np.maximum(np.abs(turns).max(axis=2), 1e-9)
    made: np.ndarray = steps * np.minimum(1.0, _LARGEST_TURN / largest)[..., None]
    return made
