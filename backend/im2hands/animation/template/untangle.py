"""Takes fingers of one hand that were fitted into each other, or into the palm, apart again.

Where fingers press against each other the implicit surface has no skin between them, and vertices there went to the
nearest one that faces their way, ragged and through each other. The nearer skins are to each other there, posed or
fitted, the more what the fit moved is smoothed, so that the posed template's own shape comes back; then what is still
inside is pushed out. All of it changes evenly with the hand's pose, so that hands in motion do not flicker.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from im2hands.geometry.normals import dots, vertex_normals

from .cuts import cut_triangles
from .topology import Topology

_TOUCHING, _NEARBY = 0.003, 0.009  # metres between skins: what the fit moved is smoothed, is left as it is
_LITTLE = 0.5  # of smoothing that is too little for triangles that are still cut
_BESIDE = 2  # edges around them that are smoothed with them
_SMOOTHINGS = 6
_USUAL = 6600  # vertices of templates that those two are for; both reach as many millimetres at other densities
_TAKEN_BACK = 0.2  # of what the fit moved where skins touch
_ROUNDS = 12
_NEAR = 0.006  # metres between skins that may be in each other
_LOOK_EVERY, _MARGIN = 4, 0.002  # rounds, metres: which vertices are near is looked for anew, and how far around
_APART = 0.012  # metres between vertices at rest that do not belong to one crease
_FACING = -0.2  # largest cosine between the normals of skins that meet
_BLUR = 0.002  # metres; how fast vertices of the other skin count less than the nearest one of it, with their distance
_GAP = 0.0005  # metres left between them
_SHARE = 0.3  # of the way out in a round, as the other skin moves as well
_SPREAD = 2  # edges


class Untangler:
    """For templates of one topology.

    Args:
        rest: (T, 3) metres, fingers apart: tells what belongs together. mean: (T, T) means of vertices and neighbours.
        sums: (T, F') sums over the triangles around vertices.
    """

    def __init__(self, topology: Topology, rest: np.ndarray, mean: sparse.csr_matrix, sums: sparse.csr_matrix) -> None:
        self._triangles = topology.triangles
        self._rest, self._mean, self._sums = rest, mean, sums
        self._lid = topology.lid
        density = len(rest) / _USUAL
        self._beside = max(1, round(_BESIDE * density**0.5))
        self._smoothings = max(1, round(_SMOOTHINGS * density))
        self._fixed = np.zeros(len(rest), dtype=bool)
        self._fixed[topology.rim] = self._fixed[topology.lid] = True

    def untangle(self, start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """A fitted template with its fingers beside each other; ``fitted`` itself where there is nothing to do.

        Args:
            start: (T, 3) the template as posed, metres. fitted: (T, 3) the same on its surface.
        """
        touching = np.maximum(self._touching(start), self._touching(fitted))
        found = fitted
        if touching.any():
            moved = self._smoothed(fitted - start, touching) * (1 - _TAKEN_BACK * touching[:, None])
            found = self._pushed_out(start + moved, np.flatnonzero(touching))
        # Creases that no other skin is near to, as between the roots of fingers.
        lonely = self._triangles[(touching[self._triangles] < _LITTLE).all(axis=1)]
        cut = cut_triangles(found, lonely)
        if not len(cut):
            return found
        creased = np.zeros(len(found))
        creased[lonely[cut]] = 1.0
        creased[self._lid] = 0.0
        for _ in range(self._beside):
            creased = (self._mean @ creased > 0).astype(np.float64)
        return start + self._smoothed(found - start, creased)

    def _touching(self, vertices: np.ndarray) -> np.ndarray:
        """(T,) in [0, 1]: how near another skin is to each vertex."""
        pairs = self._facing(
            self._close_pairs(vertices, _NEARBY), vertex_normals(vertices, self._triangles, self._sums)
        )
        away = vertices[pairs[:, 0]] - vertices[pairs[:, 1]]
        apart = np.sqrt(dots(away, away))
        near = np.clip((_NEARBY - apart) / (_NEARBY - _TOUCHING), 0, 1)
        found = np.zeros(len(vertices))
        np.maximum.at(found, pairs[:, 0], near**2 * (3 - 2 * near))
        found[self._lid] = 0.0
        for _ in range(self._beside):
            found = np.maximum(found, self._mean @ found)
        return found

    def _smoothed(self, moved: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Displacements (T, 3), smoothed by ``share`` (T,) of each."""
        rows = np.flatnonzero(share)
        around, weight = self._mean[rows], share[rows, None]
        moved = moved.copy()
        for _ in range(self._smoothings):
            moved[rows] = (1 - weight) * moved[rows] + weight * (around @ moved)
        return moved

    def _pushed_out(self, vertices: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Vertices moved out of the skins they are behind; those of ``rows`` may be near one."""
        for number in range(_ROUNDS):
            normals = vertex_normals(vertices, self._triangles, self._sums)
            if number % _LOOK_EVERY == 0:
                around = self._close_pairs(vertices, _NEAR + _MARGIN, rows)
            away = vertices[around[:, 0]] - vertices[around[:, 1]]
            pairs = self._facing(around[dots(away, away) < _NEAR**2], normals)
            depth, way = _behind(pairs, vertices, normals)
            if not (depth > 0).any():
                break
            push = np.where(self._fixed, 0.0, _SHARE * np.maximum(depth + _GAP, 0.0))[:, None] * way
            size = dots(push, push)[:, None]
            spread = push
            for _ in range(_SPREAD):
                spread = self._mean @ spread
            grown = dots(spread, spread)[:, None]
            vertices = vertices + np.where(grown > size, spread, push)
        return vertices

    def _close_pairs(self, vertices: np.ndarray, near: float, rows: np.ndarray | None = None) -> np.ndarray:
        """(P, 2) vertices (of ``rows``) near each other (metres) that belong to different parts, both ways round."""
        if rows is None:
            pairs = cKDTree(vertices).query_pairs(near, output_type="ndarray")
        else:
            pairs = rows[cKDTree(vertices[rows]).query_pairs(near, output_type="ndarray")]
        away = self._rest[pairs[:, 0]] - self._rest[pairs[:, 1]]
        pairs = pairs[dots(away, away) > _APART**2]
        return np.concatenate([pairs, pairs[:, ::-1]])

    @staticmethod
    def _facing(pairs: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Those of the pairs whose skins face each other."""
        found: np.ndarray = pairs[dots(normals[pairs[:, 0]], normals[pairs[:, 1]]) < _FACING]
        return found


def _behind(pairs: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How deep (T,) each vertex is behind the skins it meets, metres, and the way out (T, 3), unit normals.

    Both are means over the other skin's vertices (``pairs``), the nearest ones above all; without any the depth is
    -inf.
    """
    rows, others = pairs.T
    away = vertices[others] - vertices[rows]
    square = dots(away, away)
    least = np.full(len(vertices), np.inf)
    np.minimum.at(least, rows, square)
    weight = np.exp(-(square - least[rows]) / _BLUR**2)
    total, depth, way = np.zeros(len(vertices)), np.zeros(len(vertices)), np.zeros_like(vertices)
    np.add.at(total, rows, weight)
    np.add.at(depth, rows, weight * dots(away, normals[others]))
    np.add.at(way, rows, weight[:, None] * normals[others])
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    return np.where(total > 0, depth / np.maximum(total, 1e-30), -np.inf), way
