"""Fit of the posed template to an implicit surface: along the template's normals, smooth passes first, exact ones last.

Each pass moves every vertex along its normal to the surface. The displacements are smoothed over the neighbours, less
in each pass. A vertex that finds no surface of its own (between fingers that have grown together) moves with its
neighbours. Uneven displacement across the normals is smoothed away, so the quads keep their shapes and nothing slides.
Finally, fingers that were fitted into each other are separated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from im2hands.core.hands import Side
from im2hands.geometry.contact import parted
from im2hands.geometry.normals import corner_sums, dots, face_normals, vertex_normals
from im2hands.geometry.searches import Searches
from im2hands.geometry.surface_target import SurfaceTarget

from .neighbours import neighbour_mean
from .topology import Topology
from .untangle import Untangler

# Per smooth pass: number of edges the displacement is smoothed over; distance searched for the surface, metres.
_PASSES = ((20, 0.012), (8, 0.009), (4, 0.006), (2, 0.005), (1, 0.004))
_LAST = (0.003, 0.002)  # the same distance for the passes without smoothing; only the last one asks exactly
_SAME_WAY = 0.35  # least cosine between the normals of a vertex and of the surface point it moves to
_ASIDE = 0.0015  # metres; the closest point may be this far off the vertex normal, plus its distance along the normal
_SLIDE = 0.6  # share of uneven displacement across the normals that each pass undoes
_SLIDE_REACH = 3  # edges over which that displacement is smoothed
_UPRIGHT = 0.0  # least cosine between the normals of a face and of the smoothed surface around it
_NORMAL_REACH = 2  # edges over which normals are smoothed
_REPAIRS = 18  # largest number of smoothings of folded faces
_PATCH = 5  # edges around folded triangles that are looked at
_PATCH_BORDER = 3  # those of them that only give normals
_FINE = 5000  # vertices; in coarser templates untangling moves too much of the surface with each vertex


@dataclass(frozen=True)
class Fitted:
    """A template fitted to a surface.

    Parameters
    ----------
    vertices : (T, 3) float
        Positions, metres.
    seen : (T,) bool
        Vertices that found their surface in the last pass.
    """

    vertices: np.ndarray
    seen: np.ndarray


class Fitter:
    """Fits templates of one topology.

    Parameters
    ----------
    topology : Topology
        Topology of the templates.
    rest : (T, 3) float
        The template at rest, metres; faces that are folded at rest do not count as folded by the fit.
    searches : Searches, optional
        The searches of a device; None for the processor's.
    """

    def __init__(self, topology: Topology, rest: np.ndarray, searches: Searches | None = None) -> None:
        self._triangles = topology.triangles
        self._lid = topology.lid
        self._rim = topology.rim
        self._mean = neighbour_mean(topology)
        self._sums = corner_sums(self._triangles, len(rest))
        self._untangler = Untangler(topology, rest, self._mean, self._sums, searches or Searches())
        self._least = np.minimum(_UPRIGHT, self._uprightness(rest) - 0.3)
        # The edge of the lid is sharp by design, so its triangles never count as folded.
        self._least[np.isin(self._triangles, np.concatenate([topology.rim, topology.lid])).any(axis=1)] = -2.0

    def fit(self, start: np.ndarray, target: SurfaceTarget) -> Fitted:
        """Move a posed template onto a surface.

        Parameters
        ----------
        start : (T, 3) float
            The posed template of a right hand, metres.
        target : SurfaceTarget
            The surface, in the same frame.

        Returns
        -------
        Fitted
            The template on the surface.
        """
        moved = np.zeros_like(start)
        seen = np.zeros(len(start), dtype=bool)
        for reach, farthest in _PASSES:
            normals = vertex_normals(start + moved, self._triangles, self._sums)
            step, seen = self._step(start + moved, normals, target.near, farthest)
            moved = self._spread(moved + step, seen, reach)
            moved = moved + self._even_out(moved, normals)
        for farthest, ask in zip(_LAST, (target.near, target.closest), strict=True):
            normals = vertex_normals(start + moved, self._triangles, self._sums)
            step, seen = self._step(start + moved, normals, ask, farthest)
            moved = moved + self._filled(step, seen)
            moved = self.unfolded(start + moved) - start
        return Fitted(self.untangled(start, start + moved), seen)

    def _step(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        ask: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
        farthest: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Displacements (T, 3) along the normals to the surface, and the vertices (T,) that found one."""
        nearest, surface = ask(vertices)
        away = nearest - vertices
        cosine = dots(normals, surface)
        along = dots(away, surface) / np.maximum(cosine, _SAME_WAY)
        across = away - along[:, None] * normals
        aside = np.sqrt(dots(across, across))
        seen = (cosine > _SAME_WAY) & (np.abs(along) < farthest) & (aside < _ASIDE + np.abs(along))
        return np.where(seen, along, 0.0)[:, None] * normals, seen

    def _spread(self, moved: np.ndarray, seen: np.ndarray, reach: int) -> np.ndarray:
        """Displacements smoothed over ``reach`` edges; vertices that found no surface take the mean of their
        neighbours."""
        trust = np.where(seen, 1.0, 0.02)[:, None]
        smooth = np.concatenate([moved * trust, trust], axis=1)
        for _ in range(reach):
            smooth = self._mean @ smooth
        found: np.ndarray = smooth[:, :3] / smooth[:, 3:]
        return found

    def _filled(self, step: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The displacements; vertices that found no surface take the mean of their neighbours."""
        smooth, known = step * seen[:, None], seen[:, None].astype(np.float64)
        for _ in range(3):
            smooth, known = self._mean @ smooth, self._mean @ known
        return np.where(seen[:, None], step, smooth / np.maximum(known, 1e-9))

    def folds(self, vertices: np.ndarray) -> np.ndarray:
        """Find triangles that are turned against the surface around them.

        Triangles that are folded at rest already (beside the nails) count only if they turn further.

        Parameters
        ----------
        vertices : (T, 3) float
            Positions, metres.

        Returns
        -------
        (F',) bool
            Folded triangles of ``Topology.triangles``.
        """
        found: np.ndarray = self._uprightness(vertices) < self._least
        return found

    def _uprightness(self, vertices: np.ndarray) -> np.ndarray:
        """(F',) cosines between the triangles' normals and the smoothed normals around them."""
        return _uprightness(vertices, self._triangles, self._sums, self._mean)

    def unfolded(self, vertices: np.ndarray) -> np.ndarray:
        """Smooth the vertices around folded faces.

        Only a patch of the template around them is looked at, as far as smoothing can fold a triangle.

        Parameters
        ----------
        vertices : (T, 3) float
            Positions, metres.

        Returns
        -------
        (T, 3) float
            Positions, metres.
        """
        folded = self.folds(vertices)
        if not folded.any():
            return vertices
        near = np.zeros(len(vertices))
        near[self._triangles[folded]] = 1.0
        for number in range(_PATCH):
            if number == _PATCH - _PATCH_BORDER:
                core = near > 0
            near = (self._mean @ near > 0).astype(np.float64)
        rows = np.flatnonzero(near)
        places = np.zeros(len(vertices), dtype=np.int64)
        places[rows] = np.arange(len(rows))
        inside = np.flatnonzero((near > 0)[self._triangles].all(axis=1))
        triangles, counted = places[self._triangles[inside]], core[self._triangles[inside]].all(axis=1)
        mean, sums = self._mean[rows][:, rows], self._sums[rows][:, inside]
        least = np.where(counted, self._least[inside], -2.0)
        free = np.isin(rows, self._lid, invert=True).astype(np.float64)
        own, folded = vertices[rows], folded[inside]
        for _ in range(_REPAIRS):
            bad = np.zeros(len(rows))
            bad[triangles[folded]] = 1.0
            own = np.where((mean @ (bad * free) > 0)[:, None], mean @ own, own)
            folded = _uprightness(own, triangles, sums, mean) < least
            if not folded.any():
                break
        vertices = vertices.copy()
        vertices[rows] = own
        return vertices

    def untangled(self, start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """Separate the fingers of a fitted template.

        Parameters
        ----------
        start : (T, 3) float
            The template as posed, metres; its shape is used where fingers press against each other.
        fitted : (T, 3) float
            The fitted template, metres.

        Returns
        -------
        (T, 3) float
            Positions, metres. Templates with fewer than 5000 vertices are returned unchanged.
        """
        if len(fitted) < _FINE:
            return fitted
        found = self._untangler.untangle(start, fitted)
        return fitted if found is fitted else self.unfolded(found)

    def _even_out(self, moved: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Displacements (T, 3) that undo a part of the uneven displacement across the normals."""
        smooth = moved
        for _ in range(_SLIDE_REACH):
            smooth = self._mean @ smooth
        back = smooth - moved
        back -= dots(back, normals)[:, None] * normals
        found: np.ndarray = _SLIDE * back
        return found

    def keep_apart(self, hands: Mapping[Side, np.ndarray]) -> dict[Side, np.ndarray]:
        """Let two hands that run through each other meet in between, see ``geometry.contact``.

        Parameters
        ----------
        hands : mapping of Side to (T, 3) float
            Vertices in a common frame, metres. The left hand uses the same faces as the right hand, so its faces point
            inward.

        Returns
        -------
        dict of Side to (T, 3) float
            Vertices, metres.
        """
        faces = {"left": self._triangles[:, ::-1], "right": self._triangles}
        return parted({side: (vertices, faces[side]) for side, vertices in hands.items()})[0]


def _uprightness(
    vertices: np.ndarray, triangles: np.ndarray, sums: sparse.csr_matrix, mean: sparse.csr_matrix
) -> np.ndarray:
    """(F',) cosines between the normals of triangles and the smoothed normals around them."""
    normals = face_normals(vertices, triangles)
    around = sums @ normals
    for _ in range(_NORMAL_REACH):
        around = mean @ around
    beside = around.take(triangles[:, 0], axis=0)
    beside += around.take(triangles[:, 1], axis=0)
    beside += around.take(triangles[:, 2], axis=0)
    size = np.sqrt(dots(normals, normals) * dots(beside, beside))
    found: np.ndarray = dots(normals, beside) / np.maximum(size, 1e-30)
    return found
