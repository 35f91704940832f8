"""Mesh extraction from an occupancy field, coarse to fine: one closed triangle mesh per hand.

The field is evaluated on a coarse lattice first, and then, level by level, only where the surface may be: in cells
whose neighbourhood changes sign or holds small logits. All other points are interpolated from the coarser level. The
result equals the surface of the dense lattice; ``dense=True`` evaluates that lattice, for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mcubes
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from im2hands.core.errors import FrameError
from im2hands.geometry.marching_cubes import single_component

from .occupancy_field import SOFTNESS, OccupancyField

COARSEST = 0.0035
"""Spacing of the first lattice, metres: fine enough that no part of a hand and no gap between fingers is missed."""

# A coarse cell is refined if a corner's distance to the surface, as its logit estimates it, is below this share of the
# cell's width. On ten held-out hands 0.3 already gave the dense surface, with and without the neighbours of crossed
# cells.
_BAND = 0.5


@dataclass
class Surface:
    """A mesh in a hand's canonical frame.

    Parameters
    ----------
    vertices : (V, 3) float64
        Positions, metres.
    faces : (F, 3) int32
        Triangles, counter-clockwise seen from outside.
    queries : int
        Number of points at which the field was evaluated.
    """

    vertices: np.ndarray
    faces: np.ndarray
    queries: int = field(default=0, compare=False)


def extract_surfaces(
    occupancy: OccupancyField, voxel: float, device: torch.device | None = None, *, dense: bool = False,
    coarsest: float = COARSEST, band: float = _BAND,
) -> list[Surface]:  # fmt: skip
    """Extract the surfaces of all hands of a field, in lockstep.

    Parameters
    ----------
    occupancy : OccupancyField
        The field.
    voxel : float
        Lattice spacing, metres.
    device : torch.device, optional
        Where query points are created: the device of the field. None is the CPU.
    dense : bool
        Evaluate the whole lattice.
    coarsest : float
        Upper limit of the first lattice's spacing, metres. If ``voxel`` is larger, ``voxel`` is used.
    band : float
        Refine also cells with a logit below this share of the cell's width divided by ``SOFTNESS``. Use 0 where logits
        do not approximate distances: then only the cells that the surface crosses and their neighbours are refined.

    Returns
    -------
    list of Surface
        One closed surface with a single component per hand.

    Raises
    ------
    FrameError
        A hand has no surface.
    """
    grids = [
        _Lattice(*occupancy.bounds(hand), voxel, 0.0 if dense else coarsest, band)
        for hand in range(occupancy.hand_count)
    ]
    asks = [grid.begin() for grid in grids]
    while any(len(ask) for ask in asks):
        hands = np.repeat(np.arange(len(asks)), [len(ask) for ask in asks])
        points = np.concatenate(asks).astype(np.float32)
        values = occupancy.logits(torch.from_numpy(hands).to(device), torch.from_numpy(points).to(device))
        answers = np.split(_to_numpy(values), np.cumsum([len(ask) for ask in asks])[:-1])
        asks = [grid.answer(value) for grid, value in zip(grids, answers, strict=True)]
    return [grid.mesh() for grid in grids]


def _to_numpy(values: Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()


class _Lattice:
    """One hand's lattice: the grid of logits so far, and the points to evaluate next."""

    def __init__(self, low: Tensor, high: Tensor, voxel: float, coarsest: float, band: float) -> None:
        self._voxel, self._band = voxel, band
        self._levels = 0
        while voxel * 2 ** (self._levels + 1) <= coarsest:
            self._levels += 1
        step = 2**self._levels
        # Lattice points are whole multiples of the voxel, so a hand that does not move keeps its triangles.
        # First to the processor, then to float64: Metal has none.
        first = np.floor(low.cpu().double().numpy() / (voxel * step)).astype(int) * step
        cells = np.ceil((high.cpu().double().numpy() / voxel - first) / step).astype(int)
        self._origin, self._coarse_shape = first, tuple(int(n) + 1 for n in cells)
        self._grid: np.ndarray | None = None
        self._where: np.ndarray | None = None
        self._queries = 0

    def _points(self, index: np.ndarray, step: int) -> np.ndarray:
        self._queries += len(index)
        return (index * step + self._origin) * self._voxel

    def begin(self) -> np.ndarray:
        """The points (N, 3) of the coarsest lattice, metres."""
        index = np.stack(np.meshgrid(*map(np.arange, self._coarse_shape), indexing="ij"), axis=-1).reshape(-1, 3)
        return self._points(index, 2**self._levels)

    def answer(self, values: np.ndarray) -> np.ndarray:
        """Store the logits (N,) of the last points and return the next points (M, 3); M is 0 when the lattice is
        complete."""
        if self._grid is None:
            self._grid = values.reshape(self._coarse_shape)
        elif self._where is not None and len(values):
            self._grid[tuple(self._where.T)] = values
        if self._levels == 0 or (self._where is not None and len(values) == 0):
            self._levels = 0
            return np.empty((0, 3))
        step = 2**self._levels
        wanted = _fine_points(self._grid, self._band * step * self._voxel / SOFTNESS)
        self._grid = _doubled(self._grid)
        self._levels -= 1
        self._where = np.argwhere(wanted)
        return self._points(self._where, step // 2)

    def mesh(self) -> Surface:
        """The closed surface of the completed grid. Raises FrameError if no point is inside."""
        grid = self._grid
        assert grid is not None
        # A rim of outside points closes the surface at the box. A logit of exactly 0 would give triangles without area.
        padded = np.pad(grid, 1, constant_values=-1.0).astype(np.float64)
        padded[np.abs(padded) < 1e-4] = 1e-4
        padded = single_component(padded)
        if not (padded > 0).any():
            raise FrameError("The network finds no hand around these keypoints.", "Check the keypoints of this frame.")
        vertices, faces = mcubes.marching_cubes(padded, 0.0)
        vertices = (vertices - 1 + self._origin) * self._voxel
        faces = faces.astype(np.int32)
        if _volume(vertices, faces) < 0:
            faces = faces[:, ::-1].copy()
        return Surface(vertices, faces, self._queries)


def _fine_points(grid: np.ndarray, small: float) -> np.ndarray:
    """Bool over the doubled lattice: new points in cells that the surface may cross.

    ``small`` is the logit, of either sign, below which a corner marks its cell as well.
    """
    inside = grid > 0
    high, low = _cell_max(inside), _cell_max(~inside)
    # Neighbours too: the surface may bulge into them between lattice points.
    cells = ndimage.binary_dilation(high & low) | _cell_max(np.abs(grid) < small)
    wanted = np.zeros(tuple(2 * n - 1 for n in grid.shape), dtype=bool)
    for x in range(3):
        for y in range(3):
            for z in range(3):
                view = tuple(slice(k, k + 2 * n - 1, 2) for k, n in zip((x, y, z), cells.shape, strict=True))
                wanted[view] |= cells
    wanted[::2, ::2, ::2] = False
    return wanted


def _cell_max(corners: np.ndarray) -> np.ndarray:
    """Whether any of a cell's eight corners is set."""
    for axis in range(3):
        head = [slice(None)] * 3
        tail = [slice(None)] * 3
        head[axis], tail[axis] = slice(None, -1), slice(1, None)
        corners = corners[tuple(head)] | corners[tuple(tail)]
    return corners


def _doubled(grid: np.ndarray) -> np.ndarray:
    """The grid on the lattice of half the spacing, linearly interpolated."""
    for axis in range(3):
        fine = np.empty([2 * n - 1 if k == axis else n for k, n in enumerate(grid.shape)], dtype=grid.dtype)
        even, odd = [slice(None)] * 3, [slice(None)] * 3
        head, tail = [slice(None)] * 3, [slice(None)] * 3
        even[axis], odd[axis] = slice(None, None, 2), slice(1, None, 2)
        head[axis], tail[axis] = slice(None, -1), slice(1, None)
        fine[tuple(even)] = grid
        fine[tuple(odd)] = 0.5 * (grid[tuple(head)] + grid[tuple(tail)])
        grid = fine
    return grid


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh; positive if its faces point outward."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)
