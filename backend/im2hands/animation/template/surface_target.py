"""Queries on an extracted implicit surface: closest points, normals, signed distances."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from im2hands.geometry.normals import cross, dots, vertex_normals

# Marching cubes gives triangles of similar size, so the closest triangle is among those with the closest centres.
_CANDIDATES = 6


class SurfaceTarget:
    """A closed triangle mesh with a search structure.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, metres.
    faces : (F, 3) int
        Triangles, outward.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices = np.asarray(vertices, np.float64)
        corners = self.vertices[faces]
        # Slivers have no normal, and their neighbours are as close.
        normals = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        kept = (normals**2).sum(axis=1) > 1e-24
        self._corners = corners[kept]
        self._normals = vertex_normals(self.vertices, faces)[faces[kept]]
        self._centres = self._corners.mean(axis=1)
        means = self._normals.sum(axis=1)
        self._means = means / np.maximum(np.sqrt(dots(means, means)), 1e-30)[:, None]
        self._tree = cKDTree(self._centres, balanced_tree=False)

    def near(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A fast approximation of ``closest``: the centre of the triangle with the closest centre, and its mean normal.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        nearest : (N, 3) float
            Centres of triangles, metres.
        normal : (N, 3) float
            Unit normals there.
        """
        _, index = self._tree.query(points)
        return self._centres[index], self._means[index]

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The closest points on the surface.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        nearest : (N, 3) float
            Closest points, metres.
        normal : (N, 3) float
            Unit normals there.
        """
        count = min(_CANDIDATES, len(self._corners))
        _, index = self._tree.query(points, k=count)
        index = index.reshape(len(points), count)
        found, share = closest_on_triangles(points[:, None], self._corners[index])
        best = ((found - points[:, None]) ** 2).sum(axis=-1).argmin(axis=1)
        rows = np.arange(len(points))
        normal = np.einsum("nk,nkc->nc", share[rows, best], self._normals[index[rows, best]])
        return found[rows, best], normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances to the surface.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        (N,) float
            Distances, metres; negative inside.
        """
        nearest, normal = self.closest(points)
        away = points - nearest
        found: np.ndarray = np.linalg.norm(away, axis=1) * np.sign((away * normal).sum(axis=1))
        return found


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The closest points of triangles to points.

    Parameters
    ----------
    points : (..., 3) float
        Query points.
    corners : (..., 3, 3) float
        Triangles; rows are corners.

    Returns
    -------
    found : (..., 3) float
        Closest points.
    share : (..., 3) float
        Their barycentric coordinates.
    """
    a, ab, ac = corners[..., 0, :], corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    ap = points - a
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    bb, bc, cc = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    det = np.maximum(bb * cc - bc * bc, 1e-30)
    v, w = (cc * d1 - bc * d2) / det, (bb * d2 - bc * d1) / det
    outside = (v < 0) | (w < 0) | (v + w > 1)
    # The closest point on the triangle's border, edge by edge.
    on_ab = np.clip(d1 / np.maximum(bb, 1e-30), 0, 1)
    on_ac = np.clip(d2 / np.maximum(cc, 1e-30), 0, 1)
    edge = np.maximum(bb - 2 * bc + cc, 1e-30)
    on_bc = np.clip((bb - bc - d1 + d2) / edge, 0, 1)
    zero = np.zeros_like(on_ab)
    best_v, best_w, best = v, w, np.where(outside, np.inf, -1.0)
    for tried_v, tried_w in ((on_ab, zero), (zero, on_ac), (1 - on_bc, on_bc)):
        away = ap - tried_v[..., None] * ab - tried_w[..., None] * ac
        distance = (away * away).sum(-1)
        better = distance < best
        best_v, best_w = np.where(better, tried_v, best_v), np.where(better, tried_w, best_w)
        best = np.where(better, distance, best)
    found = a + best_v[..., None] * ab + best_w[..., None] * ac
    return found, np.stack([1 - best_v - best_w, best_v, best_w], axis=-1)
