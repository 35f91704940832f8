"""Takes fingers of one hand that were fitted into each other, or into the palm, apart again.

Where fingers press against each other the implicit surface has no skin between them, and vertices there went to the
nearest one that faces their way, ragged and through each other. What the fit moved is smoothed there, vertices around
it held fast, so that the posed template's own shape comes back; then what is still inside is pushed out, half the way
each.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from .surface_target import vertex_normals
from .topology import Topology

_BESIDE = 2  # edges around cut triangles that are smoothed with them
_SMOOTHINGS = 6
_USUAL = 6600  # vertices of templates that those two are for; both reach as many millimetres at other densities
_ROUNDS = 8
_NEAR = 0.006  # metres between skins that may be in each other
_APART = 0.012  # metres between vertices at rest that do not belong to one crease
_FACING = -0.2  # largest cosine between the normals of skins that meet
_GAP = 0.0001  # metres left between them
_SHARE = 0.5  # of the way out, as the other skin moves as well
_SPREAD = 2  # edges


class Untangler:
    """For templates of one topology.

    Args:
        rest: (T, 3) metres, fingers apart: tells what belongs together. mean: (T, T) means of vertices and neighbours.
    """

    def __init__(self, topology: Topology, rest: np.ndarray, mean: sparse.csr_matrix) -> None:
        self._triangles = topology.triangles
        self._rest, self._mean = rest, mean
        self._lid = topology.lid
        density = len(rest) / _USUAL
        self._beside = max(1, round(_BESIDE * density**0.5))
        self._smoothings = max(1, round(_SMOOTHINGS * density))
        self._fixed = np.zeros(len(rest), dtype=bool)
        self._fixed[topology.rim] = self._fixed[topology.lid] = True

    def untangle(self, start: np.ndarray, fitted: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """A fitted template with its fingers beside each other.

        Args:
            start: (T, 3) the template as posed, metres. fitted: (T, 3) the same on its surface.
            cut: (C,) triangles of ``fitted`` that are cut, see :func:`.cuts.cut_triangles`.
        """
        return self._pushed_out(start + self._smoothed(fitted - start, cut))

    def _smoothed(self, moved: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """Displacements (T, 3), smoothed in and around cut triangles."""
        free = np.zeros(len(moved))
        free[self._triangles[cut]] = 1.0
        free[self._lid] = 0.0
        for _ in range(self._beside):
            free = (self._mean @ free > 0).astype(np.float64)
        rows = np.flatnonzero(free)
        around = self._mean[rows]
        moved = moved.copy()
        for _ in range(self._smoothings):
            moved[rows] = around @ moved
        return moved

    def _pushed_out(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices moved out of the skins they are behind."""
        for _ in range(_ROUNDS):
            normals = vertex_normals(vertices, self._triangles)
            rows, others = _meeting(self._close_pairs(vertices), vertices, normals)
            depth = ((vertices[others] - vertices[rows]) * normals[others]).sum(axis=1)
            if not (depth > 0).any():
                break
            inside = (depth > -_GAP) & ~self._fixed[rows]
            push = np.zeros_like(vertices)
            push[rows[inside]] = (_SHARE * (depth[inside] + _GAP))[:, None] * normals[others[inside]]
            size = np.linalg.norm(push, axis=1, keepdims=True)
            spread = push
            for _ in range(_SPREAD):
                spread = self._mean @ spread
            grown = np.linalg.norm(spread, axis=1, keepdims=True)
            vertices = vertices + np.where(grown > size, spread, push)
        return vertices

    def _close_pairs(self, vertices: np.ndarray) -> np.ndarray:
        """(P, 2) vertices near each other that belong to different parts, both ways round."""
        pairs = cKDTree(vertices).query_pairs(_NEAR, output_type="ndarray")
        away = self._rest[pairs[:, 0]] - self._rest[pairs[:, 1]]
        pairs = pairs[(away**2).sum(axis=1) > _APART**2]
        return np.concatenate([pairs, pairs[:, ::-1]])


def _meeting(pairs: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices that another skin faces, and the nearest vertex of it."""
    pairs = pairs[(normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(axis=1) < _FACING]
    rows, others = pairs.T
    order = np.lexsort((((vertices[rows] - vertices[others]) ** 2).sum(axis=1), rows))
    rows, first = np.unique(rows[order], return_index=True)
    return rows, others[order][first]
