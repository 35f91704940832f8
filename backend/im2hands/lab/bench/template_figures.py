"""Quality measures of a fitted template hand: distances to the surface, and self-intersections."""

from __future__ import annotations

import numpy as np

from im2hands.animation.template.cuts import cut_triangles
from im2hands.geometry.surface_target import SurfaceTarget


def distances(vertices: np.ndarray, target: SurfaceTarget) -> tuple[float, float]:
    """Distances of the template's vertices to a surface.

    Parameters
    ----------
    vertices : (V, 3) float
        Metres.
    target : SurfaceTarget
        The surface.

    Returns
    -------
    mean : float
        Metres.
    percentile_95 : float
        95th percentile, metres.
    """
    away = np.abs(target.signed_distance(vertices))
    return float(away.mean()), float(np.percentile(away, 95))


def self_intersections(vertices: np.ndarray, triangles: np.ndarray) -> int:
    """Number of triangles that intersect another triangle with which they share no vertex.

    Parameters
    ----------
    vertices : (V, 3) float
        Metres.
    triangles : (F, 3) int
        Vertex indices.

    Returns
    -------
    int
    """
    return len(cut_triangles(vertices, triangles))
