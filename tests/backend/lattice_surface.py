"""From a lattice of occupancies to the published meshes: marching cubes, frames of the files (specification 9)."""

from __future__ import annotations

from dataclasses import dataclass

import mcubes
import numpy as np
import torch

from im2hands.geometry.bones import BOX, QUERY_SCALE, Bones

_OUTSIDE = -1e6
_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class LatticeSurface:
    """A closed surface in query space.

    Args:
        vertices: (V, 3) float64, query space (times 0.4: metres, canonical frame). faces: (F, 3) int32, outward.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def wrist_relative(self, bones: Bones, hand: int = 0) -> LatticeSurface:
        """The mesh as the initial stage writes it: axes of the frame ``bones`` were made in, the wrist at 0, mm."""
        return self._placed(bones, hand, bones.mirror.new_zeros(3), _MILLIMETRES)

    def in_world(self, bones: Bones, hand: int = 0) -> LatticeSurface:
        """The mesh as the refined stage writes it: the frame ``bones`` were made in, metres."""
        return self._placed(bones, hand, bones.wrist[hand], 1.0)

    def _placed(self, bones: Bones, hand: int, wrist: torch.Tensor, scale: float) -> LatticeSurface:
        rotation, shift, mirror = (
            value.detach().cpu().double().numpy() for value in (bones.rotation[hand], wrist, bones.mirror[hand])
        )
        vertices = ((self.vertices * QUERY_SCALE) @ rotation + shift) * scale * mirror
        # A mirrored mesh would point inward.
        faces = self.faces[:, ::-1].copy() if mirror.prod() < 0 else self.faces
        return LatticeSurface(vertices, faces)


def extract(grid: np.ndarray, threshold: float) -> LatticeSurface:
    """Marching cubes on a dense lattice of the cube of query space.

    Args:
        grid: (n+1, n+1, n+1) occupancies, x slowest. threshold: points above it are inside; rounded to float32 as the
            published extraction does.

    Returns:
        A surface, closed also where it leaves the cube, with vertices and faces in the published order. Empty if no
        point is inside.
    """
    padded = np.pad(grid, 1, constant_values=_OUTSIDE)
    vertices, faces = mcubes.marching_cubes(padded, float(np.float32(threshold)))
    share = (np.asarray(vertices, np.float64).reshape(-1, 3) - 1.0) / (grid.shape[0] - 1)
    return LatticeSurface(BOX * (share - 0.5), np.asarray(faces).reshape(-1, 3).astype(np.int32))
