"""Normal equations of a batch of problems, each of one or more hands, and the robust loss of their residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kinematics import PARAMETERS, POSE


@dataclass
class Sums:
    """Normal equations of a batch of problems.

    Parameters
    ----------
    cost : (B,) float64
        Costs.
    gradient : (B, P) float64
        Their gradients.
    normal : (B, P, P) float64
        Gauss-Newton matrices.
    """

    cost: np.ndarray
    gradient: np.ndarray
    normal: np.ndarray

    @classmethod
    def empty(cls, count: int, size: int) -> Sums:
        """Return the sums of no terms."""
        return cls(np.zeros(count), np.zeros((count, size)), np.zeros((count, size, size)))

    def rows(self, chosen: np.ndarray) -> Sums:
        """Return the sums of some of the problems."""
        return Sums(self.cost[chosen], self.gradient[chosen], self.normal[chosen])

    def put(self, rows: np.ndarray, others: Sums) -> None:
        """Replace the sums of the problems ``rows``."""
        self.cost[rows], self.gradient[rows], self.normal[rows] = others.cost, others.gradient, others.normal

    def add_hands(self, rows: np.ndarray, hand: int, single: Sums) -> None:
        """Add terms of single hands, the ``hand``-th of the problems ``rows``."""
        part = slice(hand * PARAMETERS, (hand + 1) * PARAMETERS)
        self.cost[rows] += single.cost
        self.gradient[rows, part] += single.gradient
        self.normal[rows, part, part] += single.normal

    def without_shapes(self) -> Sums:
        """Return the sums of N single hands with the shapes held as they are."""
        self.gradient[:, POSE:] = 0.0
        self.normal[:, POSE:] = 0.0
        self.normal[:, :, POSE:] = 0.0
        return self

    def with_shapes_held(self) -> Sums:
        """Return the sums of pairs with the shapes of both hands held as they are."""
        held = np.concatenate([np.arange(POSE, PARAMETERS), np.arange(PARAMETERS + POSE, 2 * PARAMETERS)])
        self.gradient[:, held] = 0.0
        self.normal[:, held] = 0.0
        self.normal[:, :, held] = 0.0
        return self

    def steps(self, damping: np.ndarray) -> np.ndarray:
        """Return the steps (B, P) of Levenberg and Marquardt with the given damping (B,)."""
        normal = self.normal.copy()
        diagonal = np.arange(normal.shape[1])
        normal[:, diagonal, diagonal] += damping[:, None] * (normal[:, diagonal, diagonal] + 1e-9)
        made: np.ndarray = np.linalg.solve(normal, -self.gradient[..., None])[..., 0]
        return made

    def add(self, rows: np.ndarray, others: Sums) -> None:
        """Add the sums of other terms of the problems ``rows``."""
        self.cost[rows] += others.cost
        self.gradient[rows] += others.gradient
        self.normal[rows] += others.normal

    def add_squares(self, residual: np.ndarray, jacobian: np.ndarray) -> None:
        """Add residuals (B, R) with Jacobians (B, R, P) to the gradient and the matrix, not to the cost."""
        turned = jacobian.swapaxes(1, 2)
        self.gradient += (turned @ residual[..., None])[..., 0]
        self.normal += turned @ jacobian

    def add_diagonal(self, columns: np.ndarray, residual: np.ndarray, slope: np.ndarray) -> None:
        """Add residuals (B, R), each of one parameter, with their derivatives (B, R) or (R,)."""
        self.cost += 0.5 * (residual**2).sum(axis=1)
        self.gradient[:, columns] += slope * residual
        self.normal[:, columns, columns] += slope**2


def robust(squared: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pseudo-Huber loss of squared residuals, and the weights of the residuals in the normal equations."""
    root = np.sqrt(1.0 + squared / reach**2)
    return reach**2 * (root - 1.0), 1.0 / root
