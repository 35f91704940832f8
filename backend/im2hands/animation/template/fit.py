"""Fits the posed template to an implicit surface: along its normals, smoothly first, exactly last.

Each pass moves every vertex along its normal to where the surface is, smoothed over neighbours less and less. Vertices
that see no surface of their own (between fingers that have grown together) go with their neighbours. What moves across
the normals is smoothed away, so that the template's quads keep their shapes and nothing slides. Fingers that were
fitted into each other are taken apart at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from im2hands.core.hands import SIDES, Side
from im2hands.geometry.normals import corner_sums, dots, face_normals, vertex_normals

from .neighbours import neighbour_mean
from .surface_target import SurfaceTarget
from .topology import Topology
from .untangle import Untangler

# Of each pass: edges that the displacement is smoothed over, metres it looks for the surface.
_PASSES = ((20, 0.012), (8, 0.009), (4, 0.006), (2, 0.005), (1, 0.004))
_LAST = (0.003, 0.002)  # metres; passes that smooth nothing
_SAME_WAY = 0.35  # least cosine between the template's normal and that of the surface it moves to
_ASIDE = 0.0015  # metres the closest point may lie off the normal, more in proportion to its distance
_SLIDE = 0.6  # share of uneven sliding taken back in every pass
_SLIDE_REACH = 3
_UPRIGHT = 0.0  # least cosine between a face and the smoothed surface around it
_NORMAL_REACH = 2
_REPAIRS = 12
_DEEPEST = 0.02  # metres one hand is in the other where it is pushed out; deeper, the closest point is the wrong one
_FINE = 5000  # vertices; of coarser templates too much moves with a vertex, and they leave the surface
_GAP = 0.0001  # metres left between hands that were in each other


@dataclass(frozen=True)
class Fitted:
    """A template on its surface.

    Args:
        vertices: (T, 3) metres. seen: (T,) bool, vertices that found their surface.
    """

    vertices: np.ndarray
    seen: np.ndarray


class Fitter:
    """Fits templates of one topology.

    Args:
        rest: (T, 3) the template at rest, which tells what is folded already.
    """

    def __init__(self, topology: Topology, rest: np.ndarray) -> None:
        self._triangles = topology.triangles
        self._lid = topology.lid
        self._rim = topology.rim
        self._mean = neighbour_mean(topology)
        self._sums = corner_sums(self._triangles, len(rest))
        self._untangler = Untangler(topology, rest, self._mean, self._sums)
        self._least = np.minimum(_UPRIGHT, self._uprightness(rest) - 0.3)
        # The edge of the lid is meant to be sharp.
        self._least[np.isin(self._triangles, np.concatenate([topology.rim, topology.lid])).any(axis=1)] = -2.0

    def fit(self, start: np.ndarray, target: SurfaceTarget) -> Fitted:
        """Move a template (T, 3), a right hand, posed, metres, onto a surface in the same frame."""
        moved = np.zeros_like(start)
        seen = np.zeros(len(start), dtype=bool)
        for reach, farthest in _PASSES:
            normals = vertex_normals(start + moved, self._triangles, self._sums)
            step, seen = self._step(start + moved, normals, target.near, farthest)
            moved = self._spread(moved + step, seen, reach)
            moved = moved + self._even_out(moved, normals)
        for farthest in _LAST:
            normals = vertex_normals(start + moved, self._triangles, self._sums)
            step, seen = self._step(start + moved, normals, target.closest, farthest)
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
        """Displacements (T, 3) along the normals to the surface, and where there is one to go to."""
        nearest, surface = ask(vertices)
        away = nearest - vertices
        cosine = dots(normals, surface)
        along = dots(away, surface) / np.maximum(cosine, _SAME_WAY)
        across = away - along[:, None] * normals
        aside = np.sqrt(dots(across, across))
        seen = (cosine > _SAME_WAY) & (np.abs(along) < farthest) & (aside < _ASIDE + np.abs(along))
        return np.where(seen, along, 0.0)[:, None] * normals, seen

    def _spread(self, moved: np.ndarray, seen: np.ndarray, reach: int) -> np.ndarray:
        """Displacements smoothed over ``reach`` edges; vertices that saw nothing take their neighbours' mean."""
        trust = np.where(seen, 1.0, 0.02)[:, None]
        smooth = np.concatenate([moved * trust, trust], axis=1)
        for _ in range(reach):
            smooth = self._mean @ smooth
        found: np.ndarray = smooth[:, :3] / smooth[:, 3:]
        return found

    def _filled(self, step: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """The step, with a mean of their neighbours' where nothing was seen."""
        smooth, known = step * seen[:, None], seen[:, None].astype(np.float64)
        for _ in range(3):
            smooth, known = self._mean @ smooth, self._mean @ known
        return np.where(seen[:, None], step, smooth / np.maximum(known, 1e-9))

    def folds(self, vertices: np.ndarray) -> np.ndarray:
        """(F',) bool: triangles of :attr:`Topology.triangles` that are turned against the surface around them.

        Those that are at rest already (the folds beside the nails) count only when they turn further.
        """
        found: np.ndarray = self._uprightness(vertices) < self._least
        return found

    def _uprightness(self, vertices: np.ndarray) -> np.ndarray:
        """(F',) cosines between the triangles' normals and the smoothed normals around them."""
        normals = face_normals(vertices, self._triangles)
        around = self._sums @ normals
        for _ in range(_NORMAL_REACH):
            around = self._mean @ around
        first, second, third = self._triangles.T
        beside = around[first] + around[second] + around[third]
        size = np.sqrt(dots(normals, normals) * dots(beside, beside))
        found: np.ndarray = dots(normals, beside) / np.maximum(size, 1e-30)
        return found

    def unfolded(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (T, 3), smoothed wherever a face is folded."""
        for _ in range(_REPAIRS):
            folded = self.folds(vertices)
            if not folded.any():
                break
            bad = np.zeros(len(vertices))
            bad[self._triangles[folded]] = 1.0
            bad[self._lid] = 0.0
            bad = (self._mean @ bad > 0)[:, None]
            vertices = np.where(bad, self._mean @ vertices, vertices)
        return vertices

    def untangled(self, start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
        """A fitted template (T, 3) with its fingers out of each other.

        Args:
            start: (T, 3) metres, the template as posed, whose shape is taken up where fingers press against each other.
        """
        if len(fitted) < _FINE:
            return fitted
        found = self._untangler.untangle(start, fitted)
        return fitted if found is fitted else self.unfolded(found)

    def _even_out(self, moved: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """What takes back uneven movement across the normals."""
        smooth = moved
        for _ in range(_SLIDE_REACH):
            smooth = self._mean @ smooth
        back = smooth - moved
        back -= dots(back, normals)[:, None] * normals
        found: np.ndarray = _SLIDE * back
        return found

    def keep_apart(self, hands: Mapping[Side, np.ndarray]) -> dict[Side, np.ndarray]:
        """Both hands (T, 3), the frame they share, pushed out of each other half the way each.

        Args:
            hands: left hands with the topology of right ones, mirrored: their faces look inward.
        """
        found = {side: vertices.copy() for side, vertices in hands.items()}
        if len(found) < 2:
            return found
        low = np.maximum(*(v.min(axis=0) for v in found.values())) - 0.002
        high = np.minimum(*(v.max(axis=0) for v in found.values())) + 0.002
        if (low >= high).any():
            return found
        for _ in range(3):
            meshes = {
                side: SurfaceTarget(v, self._triangles if side == "right" else self._triangles[:, ::-1])
                for side, v in found.items()
            }
            pushes = {}
            for side, other in zip(SIDES, reversed(SIDES), strict=True):
                near = np.flatnonzero(((found[side] > low) & (found[side] < high)).all(axis=1))
                push = np.zeros_like(found[side])
                if len(near):
                    nearest, normal = meshes[other].closest(found[side][near])
                    depth = ((nearest - found[side][near]) * normal).sum(axis=1)
                    inside = (depth > 0) & (depth < _DEEPEST)
                    push[near[inside]] = (0.5 * depth[inside] + 0.5 * _GAP)[:, None] * normal[inside]
                pushes[side] = push
            if not any(push.any() for push in pushes.values()):
                break
            for side, push in pushes.items():
                size = np.linalg.norm(push, axis=1, keepdims=True)
                spread = self._mean @ (self._mean @ push)
                grown = np.linalg.norm(spread, axis=1, keepdims=True)
                found[side] += np.where(grown > size, spread, push)
        return found
