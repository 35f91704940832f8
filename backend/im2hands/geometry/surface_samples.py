"""Random points that are spread evenly over the surface of a mesh."""

from __future__ import annotations

import numpy as np


def sample_surface(
    vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points from a surface, as many from each face as its area calls for.

    Parameters
    ----------
    vertices : (V, 3) float64
        Vertices.
    faces : (F, 3) int
        Triangles.
    count : int
        Number of points.
    rng : numpy.random.Generator
        Source of all random numbers.

    Returns
    -------
    points : (count, 3) float64
        The points; none if the mesh has no area.
    face : (count,) int64
        The face of each point.
    """
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not area.sum() > 0:
        return np.empty((0, 3)), np.empty(0, np.int64)
    face = rng.choice(len(faces), size=count, p=area / area.sum())
    u, v = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return a[face] * (1 - u) + b[face] * (u * (1 - v)) + c[face] * (u * v), face


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the unit normals (F, 3) of triangles; zero for those without area."""
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)
