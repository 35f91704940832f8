"""Detection of triangles of a mesh that intersect each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_USUAL = 95  # percentile of the triangles' radii up to which they go into the tree


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
    # Few triangles are large. The tree is searched with the radius of the others, and large ones are added separately.
    usual = float(np.percentile(reach, _USUAL))
    small, large = np.flatnonzero(reach <= usual), np.flatnonzero(reach > usual)
    tree = cKDTree(centres[small])
    found = [small[tree.query_pairs(2 * usual, output_type="ndarray")]]
    if len(large):
        near = tree.query_ball_point(centres[large], reach[large] + usual, return_sorted=False)
        beside = small[np.concatenate([np.asarray(others, dtype=np.intp) for others in near])]
        found.append(np.stack([np.repeat(large, [len(others) for others in near]), beside], axis=1))
        found.append(large[np.stack(np.triu_indices(len(large), 1), axis=1)])
    pairs = np.concatenate(found)
    for axis in range(3):
        a, b = pairs[:, 0], pairs[:, 1]
        pairs = pairs[(low[a, axis] <= high[b, axis]) & (low[b, axis] <= high[a, axis])]
    return pairs


def _crosses(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P,) bool: whether segments from ``start`` to ``end`` (P, 3) cross triangles (P, 3, 3)."""
    way = end - start
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(way, ac)
    det = (ab * across).sum(axis=1)
    safe = np.where(np.abs(det) < 1e-18, 1.0, det)
    from_corner = start - corners[:, 0]
    u = (from_corner * across).sum(axis=1) / safe
    other = np.cross(from_corner, ab)
    v = (way * other).sum(axis=1) / safe
    t = (ac * other).sum(axis=1) / safe
    found: np.ndarray = (np.abs(det) > 1e-18) & (u > 0) & (v > 0) & (u + v < 1) & (t > 0) & (t < 1)
    return found
