"""Separation of fingers that were fitted into each other or into the palm.

Where fingers press against each other, the implicit surface has no skin between them. Vertices there moved to the
nearest surface with a similar normal, which makes the skin ragged and self-intersecting. There the displacement of the
fit is smoothed, which restores the shape of the posed template: the more, the nearer the skins are to each other in the
posed or the fitted template. Then vertices that are still inside another skin are pushed out. All steps change
continuously with the pose, so hands in motion do not flicker.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from im2hands.geometry.normals import dots, face_normals, unit, vertex_normals
from im2hands.geometry.searches import Searches

from .cuts import cut_triangles
from .topology import Topology

# Metres between skins: up to the first distance the displacement is fully smoothed, from the second on not at all.
_TOUCHING, _NEARBY = 0.003, 0.009
_FLAT = 0.25  # flat part of the skin around a vertex of the coarser template, share of half the way to the next one
_BETWEEN = 2  # edges from any vertex to one of the coarser template
_CREASE, _SHARP = 0.003, 0.5  # metres and cosine; skin that turns further within that distance may cut itself
_STRETCHED = 0.006  # metres; a triangle with such an edge may cut others wherever it is
_LITTLE = 0.5  # triangles smoothed by less than this are smoothed again if they still intersect
_BESIDE = 2  # edges around such vertices that are smoothed as well
_SMOOTHINGS = 6  # number of averagings
_USUAL = 6600  # vertices of the template for which these two hold; other densities are adapted to the same distance
_TAKEN_BACK = 0.2  # share of the displacement that is undone where skins touch
_ROUNDS = 6  # largest number of rounds that push vertices out
_NEAR = 0.006  # metres; largest distance of vertices whose skins may intersect
_LOOK_EVERY = 2  # near vertices that face each other are searched again after this many rounds
_APART = 0.012  # metres; vertices that are closer than this at rest belong to one crease and are not separated
_FACING = -0.2  # largest cosine between the normals of skins that face each other
_BLUR = 0.002  # metres; scale on which a vertex of the other skin counts less than the nearest one
_GAP = 0.0005  # metres; gap left between the skins
_SHARE = 0.45  # share of the way out per round; less than half, because the other skin moves as well
_SPREAD = 2  # edges over which a push is spread


class Untangler:
    """Separates the fingers of templates of one topology.

    Parameters
    ----------
    topology : Topology
        Topology of the templates.
    rest : (T, 3) float
        The template at rest with the fingers apart, metres. Vertices that are close at rest belong together.
    mean : (T, T) sparse matrix
        Averages every vertex with its neighbours.
    sums : (T, F') sparse matrix
        Sums over the triangles around every vertex.
    searches : Searches
        The searches of a device.
    """

    def __init__(
        self,
        topology: Topology,
        rest: np.ndarray,
        mean: sparse.csr_matrix,
        sums: sparse.csr_matrix,
        searches: Searches,
    ) -> None:
        self._searches = searches
        self._triangles = topology.triangles
        self._rest, self._mean, self._sums = rest, mean, sums
        self._lid, self._coarse = topology.lid, topology.coarse
        area = np.linalg.norm(face_normals(rest, self._triangles), axis=1).sum() / 2
        self._spacing = float(np.sqrt(area / self._coarse)) / 2  # half the distance of the coarser template's vertices
        density = len(rest) / _USUAL
        self._beside = max(1, round(_BESIDE * density**0.5))
        self._smoothings = max(1, round(_SMOOTHINGS * density))
        self._fixed = np.zeros(len(rest), dtype=bool)
        self._fixed[topology.rim] = self._fixed[topology.lid] = True

    def untangle(self, start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """Separate the fingers of a fitted template.

        Parameters
        ----------
        start : (T, 3) float
            The template as posed, metres.
        fitted : (T, 3) float
            The same template on its surface, metres.

        Returns
        -------
        (T, 3) float
            Positions, metres; ``fitted`` itself if nothing has to be changed.
        """
        touching = np.maximum(self._touching(start), self._touching(fitted))
        found = fitted
        if touching.any():
            moved = self._smoothed(fitted - start, touching) * (1 - _TAKEN_BACK * touching[:, None])
            found = self._pushed_out(start + moved, np.flatnonzero(touching))
        # Creases without another skin nearby, such as between the roots of fingers.
        lonely = (touching < _LITTLE)[self._triangles].all(axis=1)
        bent = self._triangles[lonely & self._bent(found)]
        cut = cut_triangles(found, bent, self._searches)
        if not len(cut):
            return found
        creased = np.zeros(len(found))
        creased[bent[cut]] = 1.0
        creased[self._lid] = 0.0
        for _ in range(self._beside):
            creased = (self._mean @ creased > 0).astype(np.float64)
        return start + self._smoothed(found - start, creased)

    def _touching(self, vertices: np.ndarray) -> np.ndarray:
        """(T,) in [0, 1]: how near another skin is to each vertex.

        The vertices of the coarser template are compared with each other. Each stands for a flat piece of its skin.
        """
        coarse = vertices[: self._coarse]
        normals = vertex_normals(vertices, self._triangles, self._sums)
        pairs = self._facing(self._close_pairs(coarse, _NEARBY + self._spacing), normals)
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
        away = coarse[pairs[:, 0]] - coarse[pairs[:, 1]]
        along = dots(away, normals[pairs[:, 1]])
        across = np.sqrt(np.maximum(dots(away, away) - along * along, 0.0))
        apart = np.hypot(along, np.maximum(across - _FLAT * self._spacing, 0.0))
        near = np.clip((_NEARBY - apart) / (_NEARBY - _TOUCHING), 0, 1)
        found = np.zeros(len(vertices))
        np.maximum.at(found, pairs[:, 0], near**2 * (3 - 2 * near))
        known = (np.arange(len(vertices)) < self._coarse).astype(np.float64)
        for _ in range(_BETWEEN):  # vertices between the coarser template's take the mean of those
            around, seen = self._mean @ found, self._mean @ known
            found, known = np.where(known > 0, found, around / np.maximum(seen, 1e-9)), (seen > 0).astype(np.float64)
        found[self._lid] = 0.0
        for _ in range(self._beside):
            found = np.maximum(found, self._mean @ found)
        return found

    def _bent(self, vertices: np.ndarray) -> np.ndarray:
        """(F',) bool: triangles that may cut another, because their skin bends sharply there or they are large."""
        normals = vertex_normals(vertices, self._triangles, self._sums)
        pairs = self._searches.pairs(vertices, _CREASE)
        sharp = np.zeros(len(vertices), dtype=bool)
        sharp[pairs[dots(normals[pairs[:, 0]], normals[pairs[:, 1]]) < _SHARP]] = True
        a, b, c = (vertices.take(self._triangles[:, k], axis=0) for k in range(3))
        large = np.zeros(len(a), dtype=bool)
        for side in (a - b, b - c, c - a):
            large |= dots(side, side) > _STRETCHED**2
        return large | sharp[self._triangles].any(axis=1)

    def _smoothed(self, moved: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Displacements (T, 3), each smoothed by its ``share`` (T,)."""
        rows = np.flatnonzero(share)
        around, weight = self._mean[rows], share[rows, None]
        moved = moved.copy()
        for _ in range(self._smoothings):
            moved[rows] = (1 - weight) * moved[rows] + weight * (around @ moved)
        return moved

    def _pushed_out(self, vertices: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Push vertices out of the skins they are behind; only those of ``rows`` are tested."""
        beside = np.zeros(len(vertices), dtype=bool)
        beside[rows] = True
        faces = np.flatnonzero(beside[self._triangles].any(axis=1))
        triangles, sums = self._triangles[faces], self._sums[rows][:, faces]
        normals = np.zeros_like(vertices)
        for number in range(_ROUNDS):
            normals[rows] = vertex_normals(vertices, triangles, sums)
            if number % _LOOK_EVERY == 0:
                pairs = self._facing(self._close_pairs(vertices, _NEAR, rows), normals)
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
        """(P, 2) vertices (of ``rows``) within ``near`` metres that are apart at rest."""
        if rows is None:
            pairs = self._searches.pairs(vertices, near)
        else:
            pairs = rows[self._searches.pairs(vertices[rows], near)]
        away = self._rest[pairs[:, 0]] - self._rest[pairs[:, 1]]
        return pairs[dots(away, away) > _APART**2]

    @staticmethod
    def _facing(pairs: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """The pairs whose skins face each other."""
        found: np.ndarray = pairs[dots(normals[pairs[:, 0]], normals[pairs[:, 1]]) < _FACING]
        return found


def _behind(pairs: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (T,) of each vertex behind the skins it meets, metres, and the way out (T, 3) as unit vectors.

    Both are weighted means over the vertices of the other skin (``pairs``), mainly the nearest ones. Without any pair
    the depth is -inf.
    """
    away = vertices[pairs[:, 0]] - vertices[pairs[:, 1]]
    weight = sparse.coo_matrix((np.exp(-dots(away, away) / _BLUR**2), pairs.T), (len(vertices), len(vertices)))
    values = np.column_stack([np.ones(len(vertices)), dots(vertices, normals), normals])
    found = weight @ values + weight.T @ values
    total, way = found[:, 0], found[:, 2:]
    depth = (found[:, 1] - dots(vertices, way)) / np.maximum(total, np.finfo(np.float64).tiny)
    return np.where(total > 0, depth, -np.inf), unit(way)
