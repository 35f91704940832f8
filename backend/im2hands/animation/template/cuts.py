"""Detection of triangles of a mesh that intersect each other."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree

from im2hands.geometry.normals import cross, dots

_CLASSES = (0.35, 0.65, 0.85, 0.97, 1.0)  # quantiles of the triangles' radii that divide them into classes


def cut_triangles(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Find the triangles that intersect another triangle with which they share no vertex.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any unit.
    triangles : (F, 3) int
        Triangles.

    Returns
    -------
    (C,) int64
        Rows of ``triangles``, sorted.
    """
    corners = vertices[triangles]
    pairs = _close_pairs(corners)
    shared = np.zeros(len(pairs), dtype=bool)
    for k in range(3):
        for other in range(3):
            shared |= triangles[pairs[:, 0], k] == triangles[pairs[:, 1], other]
    pairs = pairs[~shared]
    a, b = corners[pairs[:, 0]], corners[pairs[:, 1]]
    cut = np.zeros(len(pairs), dtype=bool)
    for k in range(3):
        cut |= _crosses(a[:, k], a[:, (k + 1) % 3], b)
        cut |= _crosses(b[:, k], b[:, (k + 1) % 3], a)
    return np.unique(pairs[cut])


def _close_pairs(corners: np.ndarray) -> np.ndarray:
    """(P, 2) pairs of triangles (F, 3, 3) whose bounding boxes overlap."""
    a, b, c = (corners[:, k] for k in range(3))
    low, high, centres = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c), (a + b + c) / 3
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


def _crosses(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P,) bool: whether segments from ``start`` to ``end`` (P, 3) cross triangles (P, 3, 3)."""
    way = end - start
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = cross(way, ac)
    det = dots(ab, across)
    safe = np.where(np.abs(det) < 1e-18, 1.0, det)
    from_corner = start - corners[:, 0]
    u = dots(from_corner, across) / safe
    other = cross(from_corner, ab)
    v = dots(way, other) / safe
    t = dots(ac, other) / safe
    found: np.ndarray = (np.abs(det) > 1e-18) & (u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)
    return found
