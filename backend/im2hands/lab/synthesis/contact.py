"""How hands of a scene touch: gap and penetration measured on their meshes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.geometry.signed_distance import ClosedMesh

_NEAR = 0.012


@dataclass(frozen=True)
class Contact:
    """Two meshes against each other.

    Args:
        gap: metres between them, 0 where they touch; infinite where they are further apart than was looked.
        depth: metres, how deep the deepest vertex of one lies in the other.
        direction: (3,) unit, the way the second mesh would have to move to part from the first (or away from it).
    """

    gap: float
    depth: float
    direction: np.ndarray


def measure_contact(
    first: ClosedMesh, second: ClosedMesh, near: float = _NEAR, offset: np.ndarray | None = None
) -> Contact:
    """Gap and penetration of two closed meshes, by the vertices of each against the other's surface.

    Args:
        near: metres; gaps larger than this are reported as infinite. offset: (3,) metres by which the second mesh is
            moved first.
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
        if inside.any():  # out of the mesh, deeper points count more
            direction += sign * ((nearest - points)[inside] * -distance[inside, None]).sum(axis=0)
        else:
            k = int(distance.argmin())
            direction += sign * 1e-9 * (points[k] - nearest[k])
    length = float(np.linalg.norm(direction))
    return Contact(np.inf if gap > near else gap, depth, direction / length if length > 0 else direction)
