"""Lattices of many hands at once, on the device of the networks.

This is ``surfaces.walked_lattice`` for a batch, with the same result. All lattices have one shape, that of the largest
hand, and one numbering: a point is ``hand * volume + place``. A step of the walk is a few tensor operations and one
network call for all hands, and no step runs on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import exact_dtype
from im2hands.geometry.marching_cubes import NearSurface
from im2hands.surfaces.walked_lattice import AROUND, CLEAR, CORNERS, OUTSIDE, SIDES_OF_CELL, SMALLEST


class LatticeBatch:
    """Lattices of H hands; the batched ``walked_lattice.Lattice``.

    Parameters
    ----------
    low : (H, 3) float
        Lowest corners of the hands' boxes, metres.
    high : (H, 3) float
        Highest corners of the hands' boxes, metres.
    voxel : float
        Spacing of the finest lattice, metres.
    coarsest : int
        Step of the coarsest lattice, in voxels.
    device : torch.device
        Where everything is computed.
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
        # Offsets between points. Single offsets are kept as Python numbers, so that no step waits for the device.
        self._corners, self._around = (torch.from_numpy(v @ strides).to(device) for v in (CORNERS, AROUND - 1))
        self._eighths = [int(place @ strides) for place in CORNERS]
        self._behind = [int(towards @ strides) for _, towards in SIDES_OF_CELL]

    def hand(self, points: Tensor) -> Tensor:
        """The hands that points belong to.

        Parameters
        ----------
        points : (...) int64
            Points of the lattices, as numbers.

        Returns
        -------
        (...) int64
            Numbers of the hands.
        """
        return points.div(self.volume, rounding_mode="floor")

    def index(self, points: Tensor) -> Tensor:
        """The coordinates of points in their hand's array.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattices, as numbers.

        Returns
        -------
        (N, 3) int64
            Coordinates.
        """
        place, depth = points % self.volume, self.shape[2]
        row = place.div(depth, rounding_mode="floor")
        return torch.stack([row.div(self.shape[1], rounding_mode="floor"), row % self.shape[1], place % depth], dim=-1)

    def positions(self, points: Tensor) -> Tensor:
        """The positions of points, each in its hand's canonical frame.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattices, as numbers.

        Returns
        -------
        (N, 3) float32
            Positions, metres.
        """
        whole = self.index(points) + self._origins[self.hand(points)]
        return (whole.to(exact_dtype(self.device)) * self.voxel).float()

    def corners(self, cells: Tensor, step: int) -> Tensor:
        """The corners of cells.

        Parameters
        ----------
        cells : (N,) int64
            Cells of the lattices with that step.
        step : int
            Step of the lattices, in voxels.

        Returns
        -------
        (N, 8) int64
            Points, in the order of ``walked_lattice.CORNERS``.
        """
        return cells[:, None] + self._corners * step

    def around(self, cells: Tensor, step: int) -> Tensor:
        """Cells and their neighbours.

        Parameters
        ----------
        cells : (N,) int64
            Cells of the lattices with that step.
        step : int
            Step of the lattices, in voxels.

        Returns
        -------
        (N, 27) int64
            Cells.
        """
        return cells[:, None] + self._around * step

    def behind(self, cells: Tensor, side: int, step: int) -> Tensor:
        """The cells (N,) on the other side of one of the six faces of cells (N,).

        Parameters
        ----------
        cells : (N,) int64
            Cells of the lattice with that step.
        side : int
            Number of the face, in the order of ``walked_lattice.SIDES_OF_CELL``.
        step : int
            Step of the lattice, in voxels.
        """
        return cells + self._behind[side] * step

    def cells(self, step: int) -> Tensor:
        """All cells of the lattices with a step that contain a point of a hand's box.

        Parameters
        ----------
        step : int
            Step of the lattices, in voxels.

        Returns
        -------
        (N,) int64
            Cells, ascending.
        """
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
        """The eighths of cells that the surface crosses, according to their corners.

        Parameters
        ----------
        cells : (N,) int64
            Cells that are split into eight.
        inside : (N, 3, 3, 3) bool
            Which points of each split cell are inside.
        step : int
            Step of the eighths, in voxels.

        Returns
        -------
        (M,) int64
            Eighths whose corners are on both sides of the surface.
        """
        found = []
        for place, offset in zip(CORNERS, self._eighths, strict=True):
            x, y, z = (slice(k, k + 2) for k in place)
            eighth = inside[:, x, y, z].reshape(-1, 8)
            mixed = eighth.any(1) & ~eighth.all(1)
            found.append(cells[mixed] + offset * step)
        together = torch.cat(found)
        index = self.index(together)
        # The rim is wider on a coarse lattice; on this one no cell of its outer part is crossed.
        last = self.sizes[self.hand(together)] - 1 - self.coarsest
        return together[((index >= self.coarsest - step) & (index <= last)).all(1)]

    def near_surface(self, points: Tensor, values: Tensor, step: int) -> list[NearSurface | None]:
        """The evaluated points, hand by hand, on the CPU.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattice with that step, ascending.
        values : (N,) float
            Their logits.
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        list of NearSurface or None
            One entry per hand; None for hands without any point.
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
    """A network evaluated on the lattices of many hands, each point at most once; the batched ``LatticeField``.

    Parameters
    ----------
    lattice : LatticeBatch
        The lattices.
    ask : callable
        Evaluates the network: points (N,) of the lattices, ascending, to logits (N,), positive inside.
    """

    def __init__(self, lattice: LatticeBatch, ask: Ask) -> None:
        self.lattice, self._ask = lattice, ask
        self.queries = 0
        self._values = torch.full((lattice.hands * lattice.volume,), OUTSIDE, device=lattice.device)
        self._known = lattice.rim()
        self._guessed = torch.zeros_like(self._known)
        self._sides = [torch.from_numpy(corners).to(lattice.device) for corners, _ in SIDES_OF_CELL]

    def values(self, points: Tensor) -> Tensor:
        """Logits (...) of points (...); see ``walked_lattice.LatticeField.values``."""
        unknown = points[~self._known[points]]
        if len(unknown):
            unknown = unknown.unique()
            self.queries += len(unknown)
            values = self._ask(unknown).to(self._values)
            self._values[unknown] = torch.where(values.abs() < SMALLEST, SMALLEST, values)
            self._known[unknown] = True
        return self._values[points]

    def inside(self, cells: Tensor, step: int) -> Tensor:
        """Which corners (N, 8) of cells (N,) are inside; those at crossed edges, or without a guess, are evaluated."""
        corners = self.lattice.corners(cells, step)
        unknown = ~self._guessed[corners]
        while True:
            self.values(corners[unknown])
            inside = self._values[corners] > 0
            cube = inside.view(-1, 2, 2, 2)
            ends = torch.zeros_like(cube)
            for axis in (1, 2, 3):
                first, last = cube.split(1, dim=axis)
                ends |= first != last
            unknown = ends.view(-1, 8) & ~self._known[corners]
            if not unknown.any():
                return inside

    def crossed(self, cells: Tensor, step: int) -> Tensor:
        """Those of the cells (N,) that the surface crosses; see ``walked_lattice.LatticeField.crossed``."""
        inside = self.inside(cells, step)
        return cells[inside.any(1) & ~inside.all(1)]

    def reached(self, step: int) -> Tensor:
        """Cells with a corner inside, and their neighbours; see ``walked_lattice.LatticeField.reached``."""
        cells = self.lattice.cells(step)
        near = self.lattice.around(cells[self.inside(cells, step).any(1)], step).unique()
        return near[torch.isin(near, cells)]

    def walk(self, cells: Tensor, step: int) -> Tensor:
        """All crossed cells that can be reached from the crossed ones among ``cells``.

        Parameters
        ----------
        cells : (N,) int64
            Cells to start from.
        step : int
            Step of the lattices, in voxels.

        Returns
        -------
        (M,) int64
            Crossed cells, ascending.
        """
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
        """Cells of half the size that the surface should cross; see ``walked_lattice.LatticeField.halved``."""
        cube = self._values[self.lattice.corners(cells, step)].view(-1, 2, 2, 2)
        doubt = CLEAR * (cube.amax((1, 2, 3)) - cube.amin((1, 2, 3)))
        for axis in (1, 2, 3):
            first, last = cube.split(1, dim=axis)
            cube = torch.cat([first, (first + last) / 2, last], dim=axis)
        middles = self.lattice.corners(cells, step // 2)[:, -1]
        points, guesses = self.lattice.around(middles, step // 2), cube.flatten(1)
        clear = guesses.abs() > doubt[:, None]
        self._guessed[points[clear]] = True
        self._guessed[points[~clear]] = False
        clear &= ~self._known[points]
        self._values[points[clear]] = guesses[clear]
        return self.lattice.eighths(cells, cube > 0, step // 2)

    def refined(self, cells: Tensor, step: int, finest: int) -> Tensor:
        """Find the crossed cells of the lattice with step ``finest`` from those of a coarse lattice, level by level.

        Parameters
        ----------
        cells : (N,) int64
            Crossed cells of the coarse lattice.
        step : int
            Step of the coarse lattice, in voxels.
        finest : int
            Step of the lattice that is wanted, in voxels.

        Returns
        -------
        (M,) int64
            Crossed cells of the fine lattice.
        """
        while step > finest:
            cells, step = self.walk(self.halved(cells, step), step // 2), step // 2
        return cells

    def near_surface(self, cells: Tensor, step: int) -> list[NearSurface | None]:
        """The corners of crossed cells and their logits, hand by hand.

        Parameters
        ----------
        cells : (N,) int64
            Crossed cells of the lattices with that step.
        step : int
            Step of the lattices, in voxels.

        Returns
        -------
        list of NearSurface or None
            One entry per hand; None for hands without a crossed cell.
        """
        points = self.lattice.corners(cells, step).unique()
        return self.lattice.near_surface(points, self._values[points], step)
