"""Signed distances to a closed mesh, with search trees that are built once for any number of queries."""

from __future__ import annotations

from typing import Any

import numpy as np

from im2hands.core.errors import SetupError

DEEPEST = 0.06
"""Metres: no point inside a hand or forearm is further from its surface."""


class ClosedMesh:
    """Distances to a closed mesh by libigl's search tree and fast winding numbers.

    Parameters
    ----------
    vertices : (V, 3) float
        Vertices, metres.
    faces : (F, 3) int
        Triangles, outward.

    Raises
    ------
    SetupError
        libigl is not installed.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        try:
            import igl
        except ImportError as error:
            raise SetupError("Synthetic scenes need libigl.", "pip install 'im2hands[train]'") from error
        self.vertices = np.ascontiguousarray(vertices, dtype=np.float64)
        self.faces = np.ascontiguousarray(faces, dtype=np.int64)
        self.low, self.high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        self._igl = igl
        self._tree = igl.AABB()
        self._tree.init(self.vertices, self.faces)
        self._winding: Any = None

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Return the nearest points of the surface.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        (N, 3) float64
            Nearest point of the surface to each query point, metres.
        """
        return np.asarray(self._query(points)[2])

    def winding(self, points: np.ndarray) -> np.ndarray:
        """Return winding numbers: 0 outside, 1 inside, 2 where the mesh overlaps itself.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        (N,) float64
            Winding numbers.
        """
        if self._winding is None:  # built on demand: hands far apart do not need it
            self._winding = self._igl.FastWindingNumberBVH()
            self._winding.init(self.vertices, self.faces)
        result: np.ndarray = self._winding.winding_number(np.ascontiguousarray(points, dtype=np.float64))
        return result

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Return signed distances to the surface, negative inside.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        (N,) float64
            Signed distances, metres.
        """
        return self._signed(points)[0]

    def distance_and_face(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signed distances to the surface and the nearest triangles.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        distance : (N,) float64
            Signed distances, metres, negative inside.
        face : (N,) int
            Index of the nearest triangle.
        """
        distance, face, _ = self._signed(points)
        return distance, face

    def distance_and_nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return signed distances to the surface and its nearest points.

        Parameters
        ----------
        points : (N, 3) float
            Query points, metres.

        Returns
        -------
        distance : (N,) float64
            Signed distances, metres, negative inside.
        nearest : (N, 3) float64
            Nearest points of the surface, metres.
        """
        distance, _, nearest = self._signed(points)
        return distance, nearest

    def _signed(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signed distances, nearest triangles and nearest points."""
        points = np.ascontiguousarray(points, dtype=np.float64)
        squared, face, nearest = self._query(points)
        distance = np.sqrt(squared)
        maybe = (distance < DEEPEST) & (points > self.low).all(axis=1) & (points < self.high).all(axis=1)
        inside = np.zeros(len(points), dtype=bool)  # winding numbers are costly: only where needed
        if maybe.any():
            inside[maybe] = self.winding(points[maybe]) > 0.5
        return np.where(inside, -distance, distance), face, nearest

    def _query(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distances, nearest triangles and nearest points by the search tree."""
        found: tuple[np.ndarray, np.ndarray, np.ndarray] = self._tree.squared_distance(
            self.vertices, self.faces, np.ascontiguousarray(points, dtype=np.float64)
        )
        return found
