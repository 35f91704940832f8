"""Queries on an extracted implicit surface: closest points, normals, signed distances."""

from __future__ import annotations

import numpy as np

from im2hands.geometry.normals import dots, face_normals, summed_at_corners, unit
from im2hands.geometry.searches import Searches

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
    searches : Searches, optional
        The searches of a device; None for the processor's.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, searches: Searches | None = None) -> None:
        self.vertices = np.asarray(vertices, np.float64)
        normals = face_normals(self.vertices, faces)
        self._normals = unit(summed_at_corners(normals, faces, len(self.vertices)))
        # Slivers have no normal, and their neighbours are as close.
        self._faces = faces[dots(normals, normals) > 1e-24]
        self._centres = _summed(self.vertices.take(self._faces, axis=0)) / 3
        self._nearest = (searches or Searches()).nearest(self._centres)

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
        index = self._nearest(points, 1)[:, 0]
        normal = _summed(self._normals.take(self._faces.take(index, axis=0), axis=0))
        return self._centres.take(index, axis=0), unit(normal)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """A fast approximation of the depth below the surface, from the plane of the nearest triangle.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        (N,) float
            Depths, metres; negative outside.
        """
        nearest, normal = self.near(points)
        return dots(nearest - points, normal)

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
        count = min(_CANDIDATES, len(self._faces))
        index = self._nearest(points, count)
        a, b, c = (self.vertices.take(self._faces[:, k].take(index), axis=0) for k in range(3))
        ab, ac, ap = b - a, c - a, points[:, None] - a
        share, distance = _closest_shares(
            _along(ab, ap), _along(ac, ap), _along(ab, ab), _along(ab, ac), _along(ac, ac)
        )
        rows, best = np.arange(len(points)), (distance + _along(ap, ap)).argmin(axis=1)
        v, w = (part[rows, best, None] for part in share)
        normal = np.einsum(
            "nk,nkc->nc", np.concatenate([1 - v - w, v, w], axis=1), self._normals[self._faces[index[rows, best]]]
        )
        return a[rows, best] + v * ab[rows, best] + w * ac[rows, best], unit(normal)

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


def _summed(corners: np.ndarray) -> np.ndarray:
    """Sums over the three corners of triangles (F, 3, 3); faster than a sum along so short an axis."""
    found: np.ndarray = corners[:, 0] + corners[:, 1] + corners[:, 2]
    return found


def _along(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dot products along the last axis."""
    found: np.ndarray = np.einsum("...c,...c->...", a, b)
    return found


def _closest_shares(
    d1: np.ndarray, d2: np.ndarray, bb: np.ndarray, bc: np.ndarray, cc: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The points of triangles that are closest to points.

    Parameters
    ----------
    d1 : (...) float
        Dot product of the first side with the way from the first corner to the point.
    d2 : (...) float
        The same for the second side.
    bb : (...) float
        Square of the first side.
    bc : (...) float
        Dot product of both sides.
    cc : (...) float
        Square of the second side.

    Returns
    -------
    share : pair of (...) float
        Shares of both sides that lead from the first corner to the closest point.
    distance : (...) float
        Square of the distance, less that of the point from the first corner.
    """
    det = np.maximum(bb * cc - bc * bc, 1e-30)
    best_v, best_w = (cc * d1 - bc * d2) / det, (bb * d2 - bc * d1) / det
    outside = (best_v < 0) | (best_w < 0) | (best_v + best_w > 1)
    best = np.where(
        outside, np.inf, best_v * (best_v * bb + 2 * best_w * bc - 2 * d1) + best_w * (best_w * cc - 2 * d2)
    )
    # The closest point on the triangle's border, edge by edge.
    on_ab = np.clip(d1 / np.maximum(bb, 1e-30), 0, 1)
    on_ac = np.clip(d2 / np.maximum(cc, 1e-30), 0, 1)
    edge = np.maximum(bb - 2 * bc + cc, 1e-30)
    on_bc = np.clip((bb - bc - d1 + d2) / edge, 0, 1)
    zero = np.zeros_like(on_ab)
    for v, w in ((on_ab, zero), (zero, on_ac), (1 - on_bc, on_bc)):
        distance = v * (v * bb + 2 * w * bc - 2 * d1) + w * (w * cc - 2 * d2)
        better = distance < best
        best_v, best_w = np.where(better, v, best_v), np.where(better, w, best_w)
        best = np.where(better, distance, best)
    return (best_v, best_w), best
