"""Gap and penetration between the meshes of two hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.geometry.signed_distance import ClosedMesh

_NEAR = 0.012


@dataclass(frozen=True)
class Contact:
    """Contact of two meshes.

    Parameters
    ----------
    gap : float
        Distance between the surfaces in metres: 0 where they touch, infinite beyond the search distance.
    depth : float
        Penetration in metres: depth of the deepest vertex of one mesh inside the other.
    direction : (3,) float64
        Unit direction in which the second mesh must move to leave the first. If they are apart, it leads away from the
        first; beyond the search distance it is zero.
    """

    gap: float
    depth: float
    direction: np.ndarray


def measure_contact(
    first: ClosedMesh, second: ClosedMesh, near: float = _NEAR, offset: np.ndarray | None = None
) -> Contact:
    """Measure gap and penetration of two closed meshes, from the vertices of each to the other's surface.

    Parameters
    ----------
    first : ClosedMesh
        The mesh that stays.
    second : ClosedMesh
        The mesh that ``offset`` moves.
    near : float
        Search distance in metres; a larger gap is reported as infinite.
    offset : (3,) float64 or None
        Displacement of the second mesh, metres. None means zero.

    Returns
    -------
    Contact
        The measured contact.
    """
    moved = np.zeros(3) if offset is None else offset
    gap, depth, direction = np.inf, 0.0, np.zeros(3)
    for mesh, other, shift, sign in ((first, second, moved, 1.0), (second, first, -moved, -1.0)):
        points = other.vertices + shift
        points = points[((points > mesh.low - near) & (points < mesh.high + near)).all(axis=1)]
        if not len(points):
            continue
        distance, nearest = mesh.distance_and_nearest(points)
        inside = distance < 0
        gap = min(gap, max(float(distance.min()), 0.0))
        depth = max(depth, float(-distance.min()))
        if inside.any():  # towards the nearest surface, weighted by depth
            direction += sign * ((nearest - points)[inside] * -distance[inside, None]).sum(axis=0)
        else:
            k = int(distance.argmin())
            direction += sign * 1e-9 * (points[k] - nearest[k])
    length = float(np.linalg.norm(direction))
    return Contact(np.inf if gap > near else gap, depth, direction / length if length > 0 else direction)
