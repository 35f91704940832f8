"""Searches in space, by the trees of SciPy: nearest points, close points, overlapping triangles.

``DeviceSearches`` has the same methods for a graphics card.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

Nearest = Callable[[np.ndarray, int], np.ndarray]
"""Takes points (N, 3) and a count K; returns the rows (N, K) of the nearest ones, the nearest first."""

_CLASSES = (0.35, 0.65, 0.85, 0.97, 1.0)  # quantiles of the triangles' radii that divide them into classes


class Searches:
    """The searches, on the processor."""

    def nearest(self, points: np.ndarray) -> Nearest:
        """Prepare the search for the nearest ones of some points.

        Parameters
        ----------
        points : (M, 3) float
            The points.

        Returns
        -------
        callable
            The search; at most M rows can be asked for.
        """
        tree = cKDTree(points, balanced_tree=False)

        def search(asked: np.ndarray, count: int) -> np.ndarray:
            _, rows = tree.query(asked, k=count)
            return np.asarray(rows).reshape(len(asked), count)

        return search

    def pairs(self, points: np.ndarray, radius: float) -> np.ndarray:
        """Find the pairs of points within a distance of each other.

        Parameters
        ----------
        points : (M, 3) float
            The points.
        radius : float
            The distance, in their unit.

        Returns
        -------
        (P, 2) int64
            Rows of the points, the smaller one first.
        """
        return cKDTree(points).query_pairs(radius, output_type="ndarray")

    def overlapping(self, corners: np.ndarray) -> np.ndarray:
        """Find the pairs of triangles whose bounding boxes overlap.

        Parameters
        ----------
        corners : (F, 3, 3) float
            The triangles' corners.

        Returns
        -------
        (P, 2) int64
            Rows of the triangles, each pair once.
        """
        if not len(corners):
            return np.zeros((0, 2), dtype=np.int64)
        low, high = boxes(corners)
        centres = corners.sum(axis=1) / 3
        away = corners - centres[:, None]
        reach = np.sqrt(np.einsum("fkc,fkc->fk", away, away).max(axis=1))
        # Few triangles are large. Each class of sizes is searched with its own radius, so that the pairs found are few.
        limits = np.quantile(reach, _CLASSES)
        members = [np.flatnonzero(part) for part in np.searchsorted(limits, reach) == np.arange(len(limits))[:, None]]
        trees = [cKDTree(centres[rows]) for rows in members]
        found = [
            rows[tree.query_pairs(2 * top, output_type="ndarray")]
            for rows, tree, top in zip(members, trees, limits, strict=True)
        ]
        for k, other in itertools.combinations(range(len(limits)), 2):
            near = trees[k].sparse_distance_matrix(trees[other], limits[k] + limits[other], output_type="ndarray")
            found.append(np.stack([members[k][near["i"]], members[other][near["j"]]], axis=1))
        pairs = np.concatenate(found)
        for axis in range(3):
            a, b = pairs[:, 0], pairs[:, 1]
            pairs = pairs[(low[a, axis] <= high[b, axis]) & (low[b, axis] <= high[a, axis])]
        return pairs


def boxes(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest corners (F, 3) of the bounding boxes of triangles (F, 3, 3)."""
    a, b, c = (corners[:, k] for k in range(3))  # faster than a minimum along so short an axis
    return np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)


def searches_on(device: str) -> Searches:
    """Return the searches of a device.

    Parameters
    ----------
    device : str
        The device as ``--device`` takes it, but not "auto".

    Returns
    -------
    Searches
        Those of the processor, or of a graphics card.
    """
    if device == "cpu":
        return Searches()
    import torch

    from .device_searches import DeviceSearches

    return DeviceSearches(torch.device(device))
