"""Closing of hand meshes that are open at the wrist, as MANO's are."""

from __future__ import annotations

import numpy as np

from im2hands.lab.evaluation.measures import Mesh


def boundary_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Find the loops of edges that belong to one face.

    Parameters
    ----------
    faces : (F, 3) int
        Consistently oriented triangles.

    Returns
    -------
    list of (K,) int64
        Vertex indices of each loop, in the direction of the faces' own edges.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(int(a), int(b)) for a, b in edges}
    after = {a: b for a, b in there if (b, a) not in there}
    loops = []
    while after:
        start, place = next(iter(after.items()))
        loop = [start]
        del after[start]
        while place != start and place in after:
            loop.append(place)
            place = after.pop(place)
        loops.append(np.array(loop, np.int64))
    return loops


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
    loops = boundary_loops(faces)
    if len(loops) == 1:
        rim = loops[0]
        centre = np.full(len(rim), len(vertices))
        # An edge of the fan runs against the edge of the face beside it.
        faces = np.concatenate([faces, np.column_stack([np.roll(rim, -1), rim, centre])])
        vertices = np.concatenate([vertices, vertices[rim].mean(0, keepdims=True)])
    if volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices, np.ascontiguousarray(faces))


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh: positive if its faces are oriented outward."""
    if not len(faces):
        return 0.0
    a, b, c = np.moveaxis((vertices - vertices.mean(0))[faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
