"""Corrective shapes: what linear blend skinning lacks of a hand, as a mean and a few shapes with weights over time.

The shapes are offsets of the rest pose's vertices. Whole takes do not fit into memory, so the shapes are computed from
frames spread over the take. The weights are computed for every frame, one frame at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LARGEST_COUNT = 16
"""Largest number of corrective shapes."""
SAMPLES = 160
"""Number of frames per hand that the shapes are computed from."""

_LARGEST_OFFSET = 0.03  # metres; larger offsets come from folded skin, where the inverse of skinning is meaningless
_LEAST_SHARE = 1e-4  # of the first shape's variance; shapes with less are rounding errors


@dataclass(frozen=True)
class Correctives:
    """Offsets of the rest pose's vertices: ``mean + sum_k weights[k] * basis[k]``.

    Parameters
    ----------
    mean : (T, 3) float
        Mean offset, metres.
    basis : (K, T, 3) float
        Offsets for a weight of 1, metres: about one standard deviation of each shape.
    """

    mean: np.ndarray
    basis: np.ndarray

    def weights(self, offset: np.ndarray) -> np.ndarray:
        """The weights whose shapes come closest to an offset.

        Parameters
        ----------
        offset : (T, 3) float
            Offset, metres.

        Returns
        -------
        (K,) float
            Weights of the shapes.
        """
        flat, size = self._projection
        found: np.ndarray = flat @ (clipped(offset) - self.mean).ravel() / size
        return found

    @cached_property
    def _projection(self) -> tuple[np.ndarray, np.ndarray]:
        """The shapes as rows (K, 3 T) in double precision, and the square of each row's length (K,)."""
        flat = self.basis.reshape(len(self.basis), self.mean.size)
        return flat.astype(np.float64), np.maximum((flat * flat).sum(axis=1), 1e-30)

    def offset(self, weights: np.ndarray) -> np.ndarray:
        """The offset that belongs to weights.

        Parameters
        ----------
        weights : (K,) float
            Weights of the shapes.

        Returns
        -------
        (T, 3) float
            Offset, metres.
        """
        found: np.ndarray = self.mean + np.einsum("k,ktc->tc", weights, self.basis)
        return found


def clipped(offset: np.ndarray) -> np.ndarray:
    """Limit the length of offsets to 30 mm.

    Parameters
    ----------
    offset : (..., 3) float
        Offsets, metres.

    Returns
    -------
    (..., 3) float
        Offsets no longer than the limit.
    """
    size = np.linalg.norm(offset, axis=-1, keepdims=True)
    found: np.ndarray = offset * np.minimum(1.0, _LARGEST_OFFSET / np.maximum(size, 1e-12))
    return found


def correctives_from(offsets: np.ndarray, count: int = LARGEST_COUNT) -> Correctives:
    """Compute the mean and the principal shapes of offsets.

    Parameters
    ----------
    offsets : (S, T, 3) float
        Offsets of S frames, metres.
    count : int
        Largest number of shapes. There are fewer if these already reproduce the offsets.

    Returns
    -------
    Correctives
        The shapes.
    """
    offsets = clipped(offsets)
    mean = offsets.mean(axis=0)
    away = (offsets - mean).reshape(len(offsets), -1)
    count = min(count, len(offsets) - 1)
    if count <= 0:
        return Correctives(mean, np.zeros((0, *mean.shape)))
    # There are few rows and many columns, so the eigenvectors come from the small Gram matrix.
    values, vectors = np.linalg.eigh(away @ away.T)
    order = np.argsort(values)[::-1][:count]
    order = order[values[order] > max(_LEAST_SHARE * float(values.max()), 1e-14)]
    shapes = (vectors[:, order].T @ away) / np.sqrt(len(offsets))
    return Correctives(mean, shapes.reshape(len(order), *mean.shape))
