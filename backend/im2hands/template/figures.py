"""Figures of a template on its surface: distances, and faces that cut through each other."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .surface_target import SurfaceTarget


def distances(vertices: np.ndarray, target: SurfaceTarget) -> tuple[float, float]:
    """Mean and 95th percentile of the distances of vertices (V, 3) to a surface, metres."""
    away = np.abs(target.signed_distance(vertices))
    return float(away.mean()), float(np.percentile(away, 95))


def self_intersections(vertices: np.ndarray, triangles: np.ndarray) -> int:
    """How many triangles (F, 3) are cut by another one that shares no vertex with them."""
    corners = vertices[triangles]
    centres = corners.mean(axis=1)
    reach = np.linalg.norm(corners - centres[:, None], axis=-1).max(axis=1)
    # Large triangles are few: pairs within the reach of nearly all, and the large ones with everything near them.
    usual = float(np.percentile(reach, 98))
    tree = cKDTree(centres)
    pairs = tree.query_pairs(2 * usual, output_type="ndarray")
    large = np.flatnonzero(reach > usual)
    near = tree.query_ball_point(centres[large], reach[large] + float(reach.max()))
    more = [(min(a, b), max(a, b)) for a, others in zip(large.tolist(), near, strict=True) for b in others if a != b]
    if more:
        pairs = np.unique(np.concatenate([pairs, np.array(more)]), axis=0)
    apart = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1) > reach[pairs].sum(axis=1)
    pairs = pairs[~apart]
    shared = (triangles[pairs[:, 0]][:, :, None] == triangles[pairs[:, 1]][:, None, :]).any(axis=(1, 2))
    pairs = pairs[~shared]
    a, b = corners[pairs[:, 0]], corners[pairs[:, 1]]
    cut = np.zeros(len(pairs), dtype=bool)
    for k in range(3):
        cut |= _crosses(a[:, k], a[:, (k + 1) % 3], b)
        cut |= _crosses(b[:, k], b[:, (k + 1) % 3], a)
    return len(np.unique(pairs[cut]))


def _crosses(start: np.ndarray, end: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P,) whether segments go through triangles (P, 3, 3)."""
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
