"""Detection of triangles of a mesh that intersect each other."""

from __future__ import annotations

import numpy as np

from im2hands.geometry.normals import cross, dots
from im2hands.geometry.searches import Searches


def cut_triangles(vertices: np.ndarray, triangles: np.ndarray, searches: Searches | None = None) -> np.ndarray:
    """Find the triangles that intersect another triangle with which they share no vertex.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any unit.
    triangles : (F, 3) int
        Triangles.
    searches : Searches, optional
        The searches of a device; None for the processor's.

    Returns
    -------
    (C,) int64
        Rows of ``triangles``, sorted.
    """
    corners = vertices[triangles]
    pairs = (searches or Searches()).overlapping(corners)
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
