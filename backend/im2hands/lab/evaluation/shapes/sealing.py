"""Closing of hand meshes that are open at the wrist, as MANO's are, and their orientation."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from im2hands.core.errors import InputError
from im2hands.lab.datasets.interhand.sealed import seal
from im2hands.lab.evaluation.measures import Mesh


def is_open(faces: np.ndarray) -> bool:
    """Whether an edge of consistently oriented triangles (F, 3) belongs to one face only."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(int(a), int(b)) for a, b in edges}
    return any((b, a) not in there for a, b in there)


def sealed(mesh: Mesh) -> Mesh:
    """Close a mesh with one opening by a fan around the mean of its rim, and orient its faces outward.

    Parameters
    ----------
    mesh : Mesh
        Any frame.

    Returns
    -------
    Mesh
        With one more vertex, the last, if the mesh had one opening. A mesh with several openings is not closed.
    """
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    if is_open(faces):
        with suppress(InputError):  # several openings: there is no single wrist to close
            vertices, faces = seal(vertices, faces)
    if volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices, np.ascontiguousarray(faces))


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh: positive if its faces are oriented outward."""
    if not len(faces):
        return 0.0
    a, b, c = np.moveaxis((vertices - vertices.mean(0))[faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
