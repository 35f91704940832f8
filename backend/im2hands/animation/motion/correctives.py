"""Corrective shapes: what skinning leaves, in the rest pose's space, as a mean and a few shapes with weights over time.

Whole takes do not fit into memory: the shapes come from frames spread over the take, the weights from all of them, one
at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST_COUNT = 16
SAMPLES = 160
"""Frames of each hand that the shapes are made from."""

_LARGEST_OFFSET = 0.03  # metres; beyond, skinning has folded and its inverse says nothing
_LEAST_SHARE = 1e-4  # of the first shape's variance; smaller ones are rounding


@dataclass(frozen=True)
class Correctives:
    """Offsets of the rest pose's vertices: ``mean + sum_k weights[k] * basis[k]``.

    Args:
        mean: (T, 3) metres. basis: (K, T, 3) metres, of a weight of 1, about one standard deviation each.
    """

    mean: np.ndarray
    basis: np.ndarray

    def weights(self, offset: np.ndarray) -> np.ndarray:
        """(K,) weights that come closest to an offset (T, 3)."""
        flat = self.basis.reshape(len(self.basis), self.mean.size)
        size = (flat * flat).sum(axis=1)
        found: np.ndarray = flat @ (clipped(offset) - self.mean).ravel() / np.maximum(size, 1e-30)
        return found

    def offset(self, weights: np.ndarray) -> np.ndarray:
        """(T, 3) metres."""
        found: np.ndarray = self.mean + np.einsum("k,ktc->tc", weights, self.basis)
        return found


def clipped(offset: np.ndarray) -> np.ndarray:
    """Offsets (T, 3) no longer than a skin can be away from its bones."""
    size = np.linalg.norm(offset, axis=-1, keepdims=True)
    found: np.ndarray = offset * np.minimum(1.0, _LARGEST_OFFSET / np.maximum(size, 1e-12))
    return found


def correctives_from(offsets: np.ndarray, count: int = LARGEST_COUNT) -> Correctives:
    """The mean and the principal shapes of offsets (S, T, 3) metres; at most ``count``, fewer if they hold them all."""
    offsets = clipped(offsets)
    mean = offsets.mean(axis=0)
    away = (offsets - mean).reshape(len(offsets), -1)
    count = min(count, len(offsets) - 1)
    if count <= 0:
        return Correctives(mean, np.zeros((0, *mean.shape)))
    # Few rows, many columns: the small matrix of products has the same shapes.
    values, vectors = np.linalg.eigh(away @ away.T)
    order = np.argsort(values)[::-1][:count]
    order = order[values[order] > max(_LEAST_SHARE * float(values.max()), 1e-14)]
    shapes = (vectors[:, order].T @ away) / np.sqrt(len(offsets))
    return Correctives(mean, shapes.reshape(len(order), *mean.shape))
