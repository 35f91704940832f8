"""Catmull-Clark subdivision of an open quad mesh, as matrices on its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Subdivided:
    """A quad mesh subdivided from a coarser mesh; the first V0 vertices are those of the coarsest one.

    Parameters
    ----------
    faces : (F, 4) int64
        Quads.
    uv : (F, 4, 2) float
        Texture coordinates per corner.
    smooth : (V, V0) sparse matrix
        Catmull-Clark positions from coarse positions; rows sum to 1.
    linear : (V, V0) sparse matrix
        Edge midpoints and face centres from coarse positions; rows sum to 1.
    coarse : int
        Number of vertices before the last subdivision, which come first; of all if there was none.
    """

    faces: np.ndarray
    uv: np.ndarray
    smooth: sparse.csr_matrix
    linear: sparse.csr_matrix
    coarse: int


def subdivide(faces: np.ndarray, uv: np.ndarray, vertex_count: int, levels: int) -> Subdivided:
    """Subdivide a mesh a number of times.

    Catmull-Clark positions lie inside a convex coarse surface. They are moved out again, so that the coarse vertices
    stay very nearly where they are.

    Parameters
    ----------
    faces : (F, 4) int
        Quads of an edge-manifold mesh.
    uv : (F, 4, 2) float
        Texture coordinates per corner.
    vertex_count : int
        Number of vertices of the coarse mesh, V0.
    levels : int
        Number of subdivisions.

    Returns
    -------
    Subdivided
        The fine mesh.
    """
    smooth = linear = sparse.identity(vertex_count, format="csr")
    coarse = vertex_count
    for _ in range(levels):
        coarse = smooth.shape[0]
        faces, uv, step_smooth, step_linear = _once(faces, uv, smooth.shape[0])
        smooth, linear = step_smooth @ smooth, step_linear @ linear
    eye = sparse.identity(vertex_count, format="csr")
    pulled_in = eye - smooth[:vertex_count]
    return Subdivided(faces, uv, (smooth @ (eye + pulled_in + pulled_in @ pulled_in)).tocsr(), linear.tocsr(), coarse)


def _once(
    faces: np.ndarray, uv: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix, sparse.csr_matrix]:
    """One subdivision: faces, texture coordinates, smooth and linear matrices."""
    face_count = len(faces)
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, edge_of, used = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge_of = edge_of.reshape(face_count, 4)
    middle = _rows(np.arange(len(edges)).repeat(2), edges.ravel(), 0.5, (len(edges), count))
    centre = _rows(np.arange(face_count).repeat(4), faces.ravel(), 0.25, (face_count, count))
    beside = _rows(edge_of.ravel(), np.arange(face_count).repeat(4), 0.5, (len(edges), face_count))
    inner = sparse.diags((used == 2).astype(float))
    edge_points = middle - 0.5 * inner @ middle + 0.5 * inner @ (beside @ centre)

    border_edges = edges[used == 1]
    on_border = np.zeros(count, dtype=bool)
    on_border[border_edges.ravel()] = True
    valence = np.bincount(edges.ravel(), minlength=count).astype(float)
    share = 1.0 / np.maximum(valence, 1.0)
    corner = _rows(faces.ravel(), np.arange(face_count).repeat(4), 1.0, (count, face_count))
    edge_at = _rows(edges.ravel(), np.arange(len(edges)).repeat(2), 1.0, (count, len(edges)))
    inside = (
        sparse.diags(share * share) @ (corner @ centre)
        + sparse.diags(2 * share * share) @ (edge_at @ middle)
        + sparse.diags((valence - 3) * share)
    )
    pairs = np.concatenate([border_edges, border_edges[:, ::-1]]) if len(border_edges) else np.empty((0, 2), int)
    border = _rows(pairs[:, 0], pairs[:, 1], 0.125, (count, count)) + sparse.diags(np.full(count, 0.75))
    vertex_points = sparse.diags((~on_border).astype(float)) @ inside + sparse.diags(on_border.astype(float)) @ border

    eye = sparse.identity(count, format="csr")
    first_edge, first_face = count, count + len(edges)
    before = np.roll(edge_of, 1, axis=1)
    centres = np.repeat(np.arange(face_count)[:, None], 4, axis=1)
    new_faces = np.stack([faces, edge_of + first_edge, centres + first_face, before + first_edge], axis=-1)
    middle_uv = (uv + np.roll(uv, -1, axis=1)) / 2
    centre_uv = np.repeat(uv.mean(axis=1, keepdims=True), 4, axis=1)
    new_uv = np.stack([uv, middle_uv, centre_uv, np.roll(middle_uv, 1, axis=1)], axis=2)
    return (
        new_faces.reshape(-1, 4),
        new_uv.reshape(-1, 4, 2),
        sparse.vstack([vertex_points, edge_points, centre]).tocsr(),
        sparse.vstack([eye, middle, centre]).tocsr(),
    )


def _rows(rows: np.ndarray, columns: np.ndarray, value: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A sparse matrix with one value at all given places."""
    return sparse.csr_matrix((np.full(len(rows), value), (rows, columns)), shape=shape)
