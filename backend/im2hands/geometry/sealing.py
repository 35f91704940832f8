"""Closing of hand meshes that are open at the wrist, as MANO's are, and their orientation."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from im2hands.core.errors import InputError


def boundary_loop(faces: np.ndarray) -> list[int]:
    """Return the vertices of a mesh's single hole, against the direction of the faces' own edges.

    Parameters
    ----------
    faces : (F, 3) int
        Triangles of one orientation.

    Returns
    -------
    list of int
        The loop; a triangle (vertex, next vertex, new vertex) continues the orientation of the faces.

    Raises
    ------
    InputError
        The mesh has no hole, several holes, or an edge with more than two faces.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(int(a), int(b)) for a, b in edges}
    follows = {b: a for a, b in there if (b, a) not in there}
    loop: list[int] = []
    vertex = min(follows, default=-1)
    while follows and vertex not in loop:
        loop.append(vertex)
        vertex = follows.get(vertex, -1)
    if not loop or vertex != loop[0] or len(loop) != len(follows) or len(there) != len(edges):
        raise InputError(
            "A hand mesh cannot be closed: its hole at the wrist is not a single loop.",
            "Check the faces of the mesh, for MANO those of its files.",
        )
    return loop


def seal(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close the hole of a hand mesh with a fan around a new vertex, the mean of the rim.

    Parameters
    ----------
    vertices : (V, 3) float
        Vertices.
    faces : (F, 3) int
        Triangles, open at the wrist.

    Returns
    -------
    vertices : (V + 1, 3) float64
        Vertices with the new one at the end.
    faces : (F + R, 3) int64
        Triangles with those of the rim of R vertices at the end, in the same orientation.

    Raises
    ------
    InputError
        The mesh has not exactly one hole.
    """
    loop = boundary_loop(faces)
    centre = len(vertices)
    fan = np.array([(a, b, centre) for a, b in zip(loop, [*loop[1:], loop[0]], strict=True)])
    closed = np.concatenate([vertices, vertices[loop].mean(0, keepdims=True)])
    return closed, np.concatenate([faces, fan]).astype(np.int64)


def close_outward(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close a mesh if it has one opening, and orient its faces outward.

    Parameters
    ----------
    vertices : (V, 3) float
        Any frame.
    faces : (F, 3) int
        Triangles of one orientation, outward or inward.

    Returns
    -------
    vertices : (V or V + 1, 3) float64
        With one more vertex, the last, if the mesh had one opening. A mesh with several openings is not closed.
    faces : (F or more, 3) int64
        Oriented outward.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if is_open(faces):
        with suppress(InputError):  # several openings: there is no single wrist to close
            vertices, faces = seal(vertices, faces)
    if volume(vertices, faces) < 0:
        faces = faces[:, ::-1]
    return vertices, np.ascontiguousarray(faces)


def is_open(faces: np.ndarray) -> bool:
    """Whether an edge of consistently oriented triangles (F, 3) belongs to one face only."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {(int(a), int(b)) for a, b in edges}
    return any((b, a) not in there for a, b in there)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh: positive if its faces are oriented outward."""
    if not len(faces):
        return 0.0
    a, b, c = np.moveaxis((vertices - vertices.mean(0))[faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
