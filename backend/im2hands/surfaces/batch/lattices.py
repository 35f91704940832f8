"""Many hands on lattices at once, on the networks' device: :mod:`.surface_tracking` for a batch, with the same result.

All lattices have one shape, that of the largest hand, and one numbering: a point is ``hand * volume + place``. So a
step of the walk is a few tensor operations and one question to the networks, however many hands there are, and nothing
of it runs on the processor.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import exact_dtype
from im2hands.geometry.marching_cubes import NearSurface
from im2hands.surfaces.walked_lattice import AROUND, CORNERS, OUTSIDE, SIDES_OF_CELL, SMALLEST


class LatticeBatch:
    """Lattices of H hands; see :class:`.surface_tracking.Lattice`.

    Args:
        low, high: (H, 3) corners of the hands' boxes, metres. voxel: spacing, metres. coarsest: step of the coarsest
            lattice. device: where everything is computed.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, voxel: float, coarsest: int, device: torch.device) -> None:
        self.voxel, self.coarsest, self.device = voxel, coarsest, device
        first = np.floor(np.asarray(low, float) / (voxel * coarsest)).astype(int)
        last = np.ceil(np.asarray(high, float) / (voxel * coarsest)).astype(int)
        self.hands = len(first)
        origins, sizes = (first - 1) * coarsest, (last - first + 2) * coarsest + 1
        self.shape = tuple(int(n) for n in sizes.max(0))
        self.volume = int(np.prod(self.shape))
        self.sizes = torch.from_numpy(sizes).to(device)
        self._host_origins, self._origins = origins, torch.from_numpy(origins).to(device)
        strides = np.array([self.shape[1] * self.shape[2], self.shape[2], 1])
        self._strides = torch.from_numpy(strides).to(device)
        # Differences of points; known on the processor where one is enough, so that the device is not waited for.
        self._corners, self._around = (torch.from_numpy(v @ strides).to(device) for v in (CORNERS, AROUND - 1))
        self._eighths = [int(place @ strides) for place in CORNERS]
        self._behind = [int(towards @ strides) for _, towards in SIDES_OF_CELL]

    def hand(self, points: Tensor) -> Tensor:
        """The hand of points (...)."""
        return points.div(self.volume, rounding_mode="floor")

    def index(self, points: Tensor) -> Tensor:
        """Place of points (N,) in their hand's array, (N, 3)."""
        place, depth = points % self.volume, self.shape[2]
        row = place.div(depth, rounding_mode="floor")
        return torch.stack([row.div(self.shape[1], rounding_mode="floor"), row % self.shape[1], place % depth], dim=-1)

    def positions(self, points: Tensor) -> Tensor:
        """Metres (N, 3) float32 of points (N,), each in its hand's frame."""
        whole = self.index(points) + self._origins[self.hand(points)]
        return (whole.to(exact_dtype(self.device)) * self.voxel).float()

    def corners(self, cells: Tensor, step: int) -> Tensor:
        """The corners (N, 8) of cells (N,) of the lattice with that step."""
        return cells[:, None] + self._corners * step

    def around(self, cells: Tensor, step: int) -> Tensor:
        """Cells (N,) of the lattice with that step and their neighbours (N, 27)."""
        return cells[:, None] + self._around * step

    def behind(self, cells: Tensor, side: int, step: int) -> Tensor:
        """The cells (N,) that lie behind one of the six sides of cells (N,)."""
        return cells + self._behind[side] * step

    def cells(self, step: int) -> Tensor:
        """All cells of the lattices with that step that hold a point of a hand's box, ascending."""
        found = []
        for hand, size in enumerate(self.sizes.tolist()):
            axes = [torch.arange(self.coarsest - step, n - self.coarsest, step, device=self.device) for n in size]
            index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
            found.append((index * self._strides).sum(-1) + hand * self.volume)
        return torch.cat(found)

    def rim(self) -> Tensor:
        """Bool (H * volume,): the points outside the hands' boxes."""
        rim = torch.ones(self.hands, *self.shape, dtype=torch.bool, device=self.device)
        for hand, size in enumerate(self.sizes.tolist()):
            x, y, z = (slice(self.coarsest, n - self.coarsest) for n in size)
            rim[hand, x, y, z] = False
        return rim.flatten()

    def eighths(self, cells: Tensor, inside: Tensor, step: int) -> Tensor:
        """Those of the eighths of cells (N,), of size ``step``, whose corners, of ``inside`` (N, 3, 3, 3), differ."""
        found = []
        for place, offset in zip(CORNERS, self._eighths, strict=True):
            x, y, z = (slice(k, k + 2) for k in place)
            eighth = inside[:, x, y, z].reshape(-1, 8)
            mixed = eighth.any(1) & ~eighth.all(1)
            found.append(cells[mixed] + offset * step)
        together = torch.cat(found)
        index = self.index(together)
        # The rim is wider on a coarse lattice; on this one nothing crosses the outer part of it.
        last = self.sizes[self.hand(together)] - 1 - self.coarsest
        return together[((index >= self.coarsest - step) & (index <= last)).all(1)]

    def near_surface(self, points: Tensor, values: Tensor, step: int) -> list[NearSurface | None]:
        """What is known, hand by hand, on the processor; None for hands without any point.

        Args:
            points: (N,), ascending, of the lattice with that step. values: (N,) their logits.
        """
        counts = torch.bincount(self.hand(points), minlength=self.hands).tolist()
        index, logits = (self.index(points) // step).cpu().numpy(), values.float().cpu().numpy()
        result: list[NearSurface | None] = []
        start = 0
        for hand, count in enumerate(counts):
            rows = slice(start, start + count)
            start += count
            if not count:
                result.append(None)
                continue
            low = index[rows].min(0)
            width, height, depth = (int(n) for n in index[rows].max(0) - low + 1)
            shape = (width, height, depth)
            places = np.ravel_multi_index(tuple((index[rows] - low).T), shape)
            position = (low * step + self._host_origins[hand]) * self.voxel
            result.append(NearSurface(shape, places, logits[rows], position, self.voxel * step))
        return result


Ask = Callable[[Tensor], Tensor]
"""Points (N,) of the lattices, ascending, to logits (N,), positive inside."""


class BatchField:
    """A network on the lattices of many hands; no point is asked twice. See :class:`.surface_tracking.LatticeField`."""

    def __init__(self, lattice: LatticeBatch, ask: Ask) -> None:
        self.lattice, self._ask = lattice, ask
        self.queries = 0
        self._values = torch.full((lattice.hands * lattice.volume,), OUTSIDE, device=lattice.device)
        self._known = lattice.rim()
        self._sides = [torch.from_numpy(corners).to(lattice.device) for corners, _ in SIDES_OF_CELL]

    def values(self, points: Tensor) -> Tensor:
        """Logits of points (...), asked where they are not known."""
        unknown = points[~self._known[points]]
        if len(unknown):
            unknown = unknown.unique()
            self.queries += len(unknown)
            values = self._ask(unknown).to(self._values)
            self._values[unknown] = torch.where(values.abs() < SMALLEST, SMALLEST, values)
            self._known[unknown] = True
        return self._values[points]

    def inside(self, cells: Tensor, step: int) -> Tensor:
        """Whether the corners (N, 8) of cells (N,) are inside."""
        return self.values(self.lattice.corners(cells, step)) > 0

    def crossed(self, cells: Tensor, step: int) -> Tensor:
        """Those of the cells (N,) whose corners have both signs."""
        inside = self.inside(cells, step)
        return cells[inside.any(1) & ~inside.all(1)]

    def reached(self, step: int) -> Tensor:
        """Cells of lattices that are known as a whole: those with a corner inside, and their neighbours."""
        cells = self.lattice.cells(step)
        near = self.lattice.around(cells[self.inside(cells, step).any(1)], step).unique()
        return near[torch.isin(near, cells)]

    def walk(self, cells: Tensor, step: int) -> Tensor:
        """All crossed cells that can be reached from the crossed ones among ``cells`` (N,), ascending."""
        visited = torch.zeros_like(self._known)
        found = [cells[:0]]
        while len(cells):
            visited[cells] = True
            inside = self.inside(cells, step)
            crossed = inside.any(1) & ~inside.all(1)
            cells, inside = cells[crossed], inside[crossed]
            found.append(cells)
            onward = []
            for side, corners in enumerate(self._sides):
                seen = inside.index_select(1, corners)
                onward.append(self.lattice.behind(cells[seen.any(1) & ~seen.all(1)], side, step))
            cells = torch.cat(onward)
            cells = cells[~visited[cells]].unique()
        return torch.cat(found).sort().values

    def halved(self, cells: Tensor, step: int) -> Tensor:
        """Cells of half the size that the surface should cross, within crossed cells (N,): interpolated, not asked."""
        cube = self.values(self.lattice.corners(cells, step)).view(-1, 2, 2, 2)
        for axis in (1, 2, 3):
            first, last = cube.split(1, dim=axis)
            cube = torch.cat([first, (first + last) / 2, last], dim=axis)
        return self.lattice.eighths(cells, cube > 0, step // 2)

    def refined(self, cells: Tensor, step: int, finest: int) -> Tensor:
        """The crossed cells of the lattice ``finest``, found from those (N,) of a coarse one, level by level."""
        while step > finest:
            cells, step = self.walk(self.halved(cells, step), step // 2), step // 2
        return cells

    def near_surface(self, cells: Tensor, step: int) -> list[NearSurface | None]:
        """What makes the meshes of crossed cells (N,); None for hands that have none."""
        points = self.lattice.corners(cells, step).unique()
        return self.lattice.near_surface(points, self._values[points], step)
