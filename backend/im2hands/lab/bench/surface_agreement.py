"""Agreement of two closed meshes of the same object: volumetric IoU and Hausdorff distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from im2hands.lab.datasets.part_occupancy import signed_distance


class Agreement(NamedTuple):
    """Agreement of two surfaces.

    Parameters
    ----------
    iou : float
        Volumetric intersection over union, 0 to 1.
    hausdorff : float
        Hausdorff distance, metres, measured at the vertices and the face centres of both meshes.
    """

    iou: float
    hausdorff: float


def agreement(
    vertices: np.ndarray, faces: np.ndarray, other_vertices: np.ndarray, other_faces: np.ndarray
) -> Agreement:
    """Compare two closed meshes that lie close to each other.

    The volume inside only one mesh is approximated by the integral of the distance to the other mesh over the surface.

    Parameters
    ----------
    vertices : (V, 3) float
        Metres.
    faces : (F, 3) int
        Oriented outward.
    other_vertices : (W, 3) float
        Metres, same frame.
    other_faces : (G, 3) int
        Oriented outward.

    Returns
    -------
    Agreement

    Raises
    ------
    SetupError
        libigl is not installed.
    """
    ways = [
        _distances(vertices, faces, other_vertices, other_faces),
        _distances(other_vertices, other_faces, vertices, faces),
    ]
    between = sum(volume for volume, _ in ways) / 2
    volume = (_volume(vertices, faces) + _volume(other_vertices, other_faces)) / 2
    return Agreement((volume - between / 2) / (volume + between / 2), max(farthest for _, farthest in ways))


def _distances(
    vertices: np.ndarray, faces: np.ndarray, other_vertices: np.ndarray, other_faces: np.ndarray
) -> tuple[float, float]:
    """Volume between a mesh and another one, m³, and the largest distance between them, metres."""
    corners = np.asarray(vertices, np.float64)[faces]
    points = np.concatenate([corners.mean(1), np.asarray(vertices, np.float64)])
    mesh = np.ascontiguousarray(other_vertices, np.float64), np.ascontiguousarray(other_faces, np.int64)
    distance = np.abs(signed_distance(points, *mesh)[0])
    middle, at_corners = distance[: len(faces)], distance[len(faces) :][faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    # Exact if the distance is linear between the corners and the centre of a face.
    return float((area * (middle / 3 + at_corners.mean(1) * 2 / 3)).sum()), float(distance.max())


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume of a closed mesh, m³."""
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)
