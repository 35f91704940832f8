"""Figures of a template on its surface: distances, and faces that cut through each other."""

from __future__ import annotations

import numpy as np

from im2hands.animation.template.cuts import cut_triangles
from im2hands.animation.template.surface_target import SurfaceTarget


def distances(vertices: np.ndarray, target: SurfaceTarget) -> tuple[float, float]:
    """Mean and 95th percentile of the distances of vertices (V, 3) to a surface, metres."""
    away = np.abs(target.signed_distance(vertices))
    return float(away.mean()), float(np.percentile(away, 95))


def self_intersections(vertices: np.ndarray, triangles: np.ndarray) -> int:
    """How many triangles (F, 3) are cut by another one that shares no vertex with them."""
    return len(cut_triangles(vertices, triangles))
