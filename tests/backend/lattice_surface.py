"""The published meshes from a lattice of occupancies: marching cubes and the frames of the mesh files."""

from __future__ import annotations

from dataclasses import dataclass

import mcubes
import numpy as np
import torch

from im2hands.geometry.bones import BOX, QUERY_SCALE, Bones

_OUTSIDE = -1e6  # value of the padding around the lattice
_MILLIMETRES = 1000.0


@dataclass(frozen=True)
class LatticeSurface:
    """A closed surface in query space.

    Parameters
    ----------
    vertices : (V, 3) float64
        Vertices, query space (times 0.4: canonical frame, metres).
    faces : (F, 3) int32
        Triangles, outward.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def wrist_relative(self, bones: Bones, hand: int = 0) -> LatticeSurface:
        """The mesh as the published initial stage writes it: from the wrist, axes of the frame of ``bones``, mm."""
        return self._placed(bones, hand, bones.mirror.new_zeros(3), _MILLIMETRES)

    def in_world(self, bones: Bones, hand: int = 0) -> LatticeSurface:
        """The mesh as the published refined stage writes it: in the frame of ``bones``, metres."""
        return self._placed(bones, hand, bones.wrist[hand], 1.0)

    def _placed(self, bones: Bones, hand: int, wrist: torch.Tensor, scale: float) -> LatticeSurface:
        rotation, shift, mirror = (
            value.detach().cpu().double().numpy() for value in (bones.rotation[hand], wrist, bones.mirror[hand])
        )
        vertices = ((self.vertices * QUERY_SCALE) @ rotation + shift) * scale * mirror
        # Mirroring turns the triangles inward, so they are reversed.
        faces = self.faces[:, ::-1].copy() if mirror.prod() < 0 else self.faces
        return LatticeSurface(vertices, faces)


def extract(grid: np.ndarray, threshold: float) -> LatticeSurface:
    """Marching cubes on a dense lattice of the cube of query space.

    Parameters
    ----------
    grid : (n+1, n+1, n+1) float
        Occupancies, x slowest.
    threshold : float
        Points above it are inside. It is rounded to float32, as in the published code.

    Returns
    -------
    LatticeSurface
        The surface, with vertices and faces in the published order. It is closed also where it meets the side of the
        cube. Empty if no point is inside.
    """
    padded = np.pad(grid, 1, constant_values=_OUTSIDE)
    vertices, faces = mcubes.marching_cubes(padded, float(np.float32(threshold)))
    share = (np.asarray(vertices, np.float64).reshape(-1, 3) - 1.0) / (grid.shape[0] - 1)
    return LatticeSurface(BOX * (share - 0.5), np.asarray(faces).reshape(-1, 3).astype(np.int32))
