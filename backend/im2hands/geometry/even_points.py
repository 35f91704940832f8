"""Points spread evenly over a mesh, and farthest point sampling on the processor.

This module does without PyTorch, so that worker processes can use it.
"""

from __future__ import annotations

import numpy as np

CANDIDATES = 4096
"""Points of a mesh among which the farthest are picked."""

# Steps of the R2 low-discrepancy sequence on the unit square: the plastic number's inverse and its square.
_EVEN = (0.7548776662466927, 0.5698402909980532)
_FAR = 1e10  # farther than any point, squared


def surface_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points of a mesh, each representing an equal area: the candidates of ``even_points``.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any frame, metres.
    faces : (F, 3) int
        Triangles.

    Returns
    -------
    (4096, 3) float64
        Points on the mesh.
    """
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    number = np.arange(CANDIDATES)
    face = np.searchsorted(area, (number + 0.5) / CANDIDATES * area[-1]).clip(max=len(faces) - 1)
    u, v = ((number + 1) * step % 1 for step in _EVEN)
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    return a[face] + u * (b - a)[face] + v * (c - a)[face]


def even_points(vertices: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """Spread points evenly over a mesh; the same mesh always gives the same points.

    Candidates that each represent an equal area are reduced by farthest point sampling. The published pipeline draws
    its anchors at random.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any frame, metres.
    faces : (F, 3) int
        Triangles.
    count : int
        Number of points.

    Returns
    -------
    (count, 3) float64
        Points on the mesh.
    """
    points = surface_points(vertices, faces)
    return points[farthest((points - points.mean(0)).astype(np.float32)[None], count)[0]]


def farthest(points: np.ndarray, count: int, guard: float | None = None) -> np.ndarray:
    """Pick points of B clouds; see ``networks.farthest_points.farthest_points``.

    Parameters
    ----------
    points : (B, P, 3) float32
        The clouds.
    count : int
        Points to pick, 1 to P.
    guard : float, optional
        Points whose squared distance from the origin is at most this are never picked, except as the first point.

    Returns
    -------
    (B, count) int64
        Indices into ``points``, in the order of picking.
    """
    axes = np.ascontiguousarray(np.moveaxis(points, -1, 0))  # (3, B, P)
    x, y, z = axes
    distance = np.full(x.shape, _FAR, np.float32)
    if guard is not None:
        distance[x * x + y * y + z * z <= guard] = -1.0  # a running minimum of -1 stays: never the farthest
    picked = np.zeros((len(points), count), np.int64)
    squared, part, clouds = np.empty_like(x), np.empty_like(x), np.arange(len(points))
    last = axes[:, :, :1]
    for step in range(1, count):
        np.subtract(x, last[0], out=squared)
        np.multiply(squared, squared, out=squared)
        for axis in (1, 2):
            np.subtract(axes[axis], last[axis], out=part)
            np.multiply(part, part, out=part)
            np.add(squared, part, out=squared)
        np.minimum(distance, squared, out=distance)
        picked[:, step] = place = distance.argmax(1)
        last = axes[:, clouds, place, None]
    return picked
