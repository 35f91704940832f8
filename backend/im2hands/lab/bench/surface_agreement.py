"""How well two closed meshes of the same thing agree: volumetric IoU and Hausdorff distance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from im2hands.lab.datasets.part_occupancy import signed_distance


class Agreement(NamedTuple):
    """Two surfaces compared.

    Args:
        iou: volumetric intersection over union. hausdorff: the farthest that a corner or the middle of a face of one
            lies from the other, metres.
    """

    iou: float
    hausdorff: float


def agreement(
    vertices: np.ndarray, faces: np.ndarray, other_vertices: np.ndarray, other_faces: np.ndarray
) -> Agreement:
    """Compare two closed meshes that lie close to each other.

    The volume that only one of them holds is the area of the surface times its distance from the other.

    Args:
        vertices, other_vertices: (V, 3) metres. faces, other_faces: (F, 3), outward.

    Raises:
        SetupError: libigl is not installed.
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
    """Volume (m^3) between a mesh and another, and the farthest distance (metres)."""
    corners = np.asarray(vertices, np.float64)[faces]
    points = np.concatenate([corners.mean(1), np.asarray(vertices, np.float64)])
    mesh = np.ascontiguousarray(other_vertices, np.float64), np.ascontiguousarray(other_faces, np.int64)
    distance = np.abs(signed_distance(points, *mesh)[0])
    middle, at_corners = distance[: len(faces)], distance[len(faces) :][faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    # Exact where the distance is linear from the corners to the middle.
    return float((area * (middle / 3 + at_corners.mean(1) * 2 / 3)).sum()), float(distance.max())


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)
