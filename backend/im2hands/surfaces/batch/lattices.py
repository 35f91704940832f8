"""Lattices of many hands at once, on the device of the networks.

This gives the surfaces of ``surfaces.walked_lattice`` for a batch. There a walk visits cell after cell. Here every step
treats the whole lattice of all hands: a device does that at once, while each question about a single cell would make
the processor wait. A walk therefore waits once for each call of the network.

A level is the lattice of one spacing. All hands share its shape, that of the largest hand. The points around a smaller
hand's box belong to its rim. ``(H, X, Y, Z)`` are the points of a level of H hands, ``(H, X - 1, Y - 1, Z - 1)`` its
cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from im2hands.core.devices import exact_dtype
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.marching_cubes import NearSurface
from im2hands.surfaces.walked_lattice import OUTSIDE, SMALLEST

_AHEAD = (0, 3, 8)
"""By how many cells the waves of a walk go ahead of what they found; the last number holds for all that follow."""

Ask = Callable[[Tensor], Tensor]
"""Points (H, N, 3) of the hands' query spaces to logits (H, N), positive inside."""


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

    Attributes
    ----------
    constants : (H, 6) float64
        What ``begin`` needs on the device: origins and sizes, in voxels.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, voxel: float, coarsest: int) -> None:
        self.voxel, self.coarsest, self.hands = voxel, coarsest, len(low)
        first = np.floor(np.asarray(low, float) / (voxel * coarsest)).astype(int)
        last = np.ceil(np.asarray(high, float) / (voxel * coarsest)).astype(int)
        self.origins = (first - 1) * coarsest
        sizes = (last - first + 2) * coarsest + 1
        self.shape = tuple(int(n) for n in sizes.max(0))
        self.constants = torch.from_numpy(np.concatenate([self.origins, sizes], axis=1).astype(float))

    def points(self, step: int) -> tuple[int, int, int]:
        """Points along each axis of the level with a step (in voxels)."""
        x, y, z = ((n - 1) // step + 1 for n in self.shape)
        return x, y, z

    def begin(self, constants: Tensor) -> _OnDevice:
        """Make the tensors of the lattices.

        Parameters
        ----------
        constants : (H, 6) float
            ``constants``, on the device.
        """
        origins, sizes = constants.long().split(3, dim=1)
        own = []
        for axis, count in enumerate(self.shape):
            place = torch.arange(count, device=constants.device)
            own.append((place >= self.coarsest) & (place < sizes[:, axis, None] - self.coarsest))
        box = own[0][:, :, None, None] & own[1][:, None, :, None] & own[2][:, None, None, :]
        return _OnDevice(origins[:, None], ~box)

    def near_surface(self, places: np.ndarray, values: np.ndarray, hand: int, step: int) -> NearSurface | None:
        """The evaluated points of one hand.

        Parameters
        ----------
        places : (N,) int64
            Points of the level with that step, as numbers in its array, ascending.
        values : (N,) float32
            Their logits.
        hand : int
            Number of the hand.
        step : int
            Step of the level, in voxels.

        Returns
        -------
        NearSurface or None
            None without any point.
        """
        if not len(places):
            return None
        index = np.stack(np.unravel_index(places, self.points(step)), axis=-1)
        low = index.min(0)
        width, height, depth = (int(n) for n in index.max(0) - low + 1)
        shape = (width, height, depth)
        flat = np.ravel_multi_index(tuple((index - low).T), shape)
        position = (low * step + self.origins[hand]) * self.voxel
        return NearSurface(shape, flat, values, position, self.voxel * step)


@dataclass(frozen=True)
class _OnDevice:
    """Tensors of a ``LatticeBatch``: origins (H, 1, 3) int64 in voxels, and the finest level's rim (H, X, Y, Z)."""

    origins: Tensor
    rim: Tensor


@dataclass
class Level:
    """The lattice of one spacing.

    Parameters
    ----------
    step : int
        Its spacing, in voxels.
    values : (H, X, Y, Z) float32
        Logits; where they are not known, guesses.
    known : (H, X, Y, Z) bool
        Points whose logit was evaluated, and the rim.
    """

    step: int
    values: Tensor
    known: Tensor


class BatchField:
    """A network evaluated on the lattices of many hands, each point at most once; the batched ``LatticeField``.

    Parameters
    ----------
    lattice : LatticeBatch
        The lattices.
    given : _OnDevice
        Their tensors, from ``LatticeBatch.begin``.
    ask : callable
        Evaluates the network.

    Attributes
    ----------
    queries : int
        Number of points that were evaluated.
    """

    def __init__(self, lattice: LatticeBatch, given: _OnDevice, ask: Ask) -> None:
        self._lattice, self._given, self._ask = lattice, given, ask
        self.queries = 0

    def level(self, step: int) -> Level:
        """A level of which nothing is known but the rim.

        Parameters
        ----------
        step : int
            Its spacing, in voxels.
        """
        rim = self._rim(step)
        return Level(step, torch.full(rim.shape, OUTSIDE, device=rim.device), rim.clone())

    def evaluate(self, level: Level, wanted: Tensor) -> bool:
        """Evaluate the unknown ones of some points.

        Parameters
        ----------
        level : Level
            The level.
        wanted : (H, X, Y, Z) bool
            The points.

        Returns
        -------
        bool
            Whether there were any. The answer is the one thing that the processor waits for.
        """
        places, counts = chosen(wanted & ~level.known)
        if places is None:
            return False
        self.queries += sum(counts)
        values = self._ask(self._positions(places, level)).to(level.values)
        values = torch.where(values.abs() < SMALLEST, SMALLEST, values)
        # The rows of hands with fewer points end in copies of the last point, which belongs to the rim.
        values = torch.where(places < level.values[0].numel() - 1, values, OUTSIDE)
        level.values.flatten(1).scatter_(1, places, values)
        level.known |= wanted
        return True

    def walk(self, level: Level, cells: Tensor) -> Tensor:
        """Find all crossed cells that can be reached from the crossed ones among some cells.

        Parameters
        ----------
        level : Level
            The level. The corners of the cells that are visited become known.
        cells : (H, X - 1, Y - 1, Z - 1) bool
            Cells to start from.

        Returns
        -------
        (H, X - 1, Y - 1, Z - 1) bool
            The crossed cells.
        """
        wave = 0
        while self.evaluate(level, corners(cells)):
            onward = _beyond(level.values > 0, cells)
            # Few points are new after some waves, and the waits count: so the walk goes ahead.
            ahead = _AHEAD[min(wave, len(_AHEAD) - 1)]
            cells, wave = onward | dilated(onward & ~cells, ahead) if ahead else onward, wave + 1
        return cells & crossed(level.values > 0)

    def finer(self, level: Level, cells: Tensor) -> tuple[Level, Tensor]:
        """The level of half the spacing, its values guessed from this level.

        Parameters
        ----------
        level : Level
            This level.
        cells : (H, X - 1, Y - 1, Z - 1) bool
            Its crossed cells.

        Returns
        -------
        Level
            The finer level.
        (H, X', Y', Z') bool
            Its cells that the surface should cross, within the given ones.
        """
        step, values = level.step // 2, level.values
        for axis in (1, 2, 3):
            values = _doubled(values, axis)
        rim = self._rim(step)
        known = rim.clone()
        known[:, ::2, ::2, ::2] |= level.known
        finer = Level(step, values.masked_fill_(rim, OUTSIDE), known)
        split = cells[:, :, None, :, None, :, None].expand(-1, -1, 2, -1, 2, -1, 2)
        inner = split.reshape(len(cells), *(2 * n for n in cells.shape[1:]))
        return finer, inner & crossed(values > 0)

    def near_surface(self, level: Level, cells: Tensor) -> list[NearSurface | None]:
        """The corners of crossed cells and their logits, hand by hand, on the processor.

        Parameters
        ----------
        level : Level
            The level.
        cells : (H, X - 1, Y - 1, Z - 1) bool
            Crossed cells, from ``walk``.

        Returns
        -------
        list of NearSurface or None
            One entry a hand; None for hands without a crossed cell.
        """
        places, counts = chosen(corners(cells))
        if places is None:
            return [None] * self._lattice.hands
        values = level.values.flatten(1).gather(1, places)
        both = torch.stack([places.int(), values.view(torch.int32)]).cpu().numpy()  # one download
        return [
            self._lattice.near_surface(
                both[0, hand, :count].astype(np.int64), both[1, hand, :count].view(np.float32), hand, level.step
            )
            for hand, count in enumerate(counts)
        ]

    def _rim(self, step: int) -> Tensor:
        return self._given.rim[:, ::step, ::step, ::step]

    def _positions(self, places: Tensor, level: Level) -> Tensor:
        """Points (H, N, 3) float32 of query space, of places (H, N) in the level's array."""
        _, _, height, depth = level.values.shape
        row = places // depth
        index = torch.stack([row // height, row % height, places % depth], dim=-1)
        whole = index * level.step + self._given.origins
        return (whole.to(exact_dtype(places.device)) * self._lattice.voxel).float() / QUERY_SCALE


def corners(cells: Tensor) -> Tensor:
    """The points (H, X, Y, Z) bool that are corners of some cells (H, X - 1, Y - 1, Z - 1) bool."""
    points = functional.pad(cells, (1, 1, 1, 1, 1, 1))
    for axis in (3, 2, 1):
        points = _either(points, axis)
    return points


def dilated(cells: Tensor, width: int = 1) -> Tensor:
    """Cells (H, X, Y, Z) bool and all that are at most some cells away along each axis."""
    shape = cells.shape
    wide = functional.max_pool2d(cells.float().flatten(0, 1), 2 * width + 1, 1, width)
    wide = functional.max_pool2d(wide.view(shape[0], shape[1], -1), (2 * width + 1, 1), 1, (width, 0))
    return wide.view(shape) > 0


def touched(inside: Tensor) -> Tensor:
    """The cells (H, X - 1, Y - 1, Z - 1) bool with a corner inside, of points (H, X, Y, Z) bool."""
    for axis in (3, 2, 1):
        inside = _either(inside, axis)
    return inside


def _either(mask: Tensor, axis: int) -> Tensor:
    """Whether a point or its successor along an axis is set."""
    count = mask.shape[axis] - 1
    return mask.narrow(axis, 0, count) | mask.narrow(axis, 1, count)


def _both(mask: Tensor, axis: int) -> Tensor:
    count = mask.shape[axis] - 1
    return mask.narrow(axis, 0, count) & mask.narrow(axis, 1, count)


def crossed(inside: Tensor) -> Tensor:
    """The cells whose corners, among points (H, X, Y, Z) bool, are on both sides."""
    some = every = inside
    for axis in (3, 2, 1):
        some, every = _either(some, axis), _both(every, axis)
    return some ^ every


def _beyond(inside: Tensor, cells: Tensor) -> Tensor:
    """Cells, and those on the other side of their faces whose corners are on both sides."""
    along = {axis: (_either(inside, axis), _both(inside, axis)) for axis in (2, 3)}
    found = cells.clone()
    for axis, first, second in ((1, 3, 2), (2, 3, 1), (3, 2, 1)):
        some, every = along[first]
        faces = _either(some, second) ^ _both(every, second)
        count = cells.shape[axis] - 1
        faces = faces.narrow(axis, 1, count)  # those between two cells
        before, after = (cells.narrow(axis, k, count) for k in (0, 1))
        found.narrow(axis, 1, count).logical_or_(faces & before)
        found.narrow(axis, 0, count).logical_or_(faces & after)
    return found


def _doubled(values: Tensor, axis: int) -> Tensor:
    """Values with the means of neighbours along an axis between them."""
    count = values.shape[axis]
    shape = list(values.shape)
    shape[axis] = 2 * count - 1
    result = values.new_empty(shape)
    even, odd = ([slice(None)] * axis + [slice(k, None, 2)] for k in (0, 1))
    result[tuple(even)] = values
    result[tuple(odd)] = torch.lerp(values.narrow(axis, 0, count - 1), values.narrow(axis, 1, count - 1), 0.5)
    return result


def chosen(mask: Tensor) -> tuple[Tensor | None, list[int]]:
    """The places that are set, hand by hand.

    Parameters
    ----------
    mask : (H, X, Y, Z) bool
        Points.

    Returns
    -------
    (H, N) int64 or None
        Places in a hand's array, ascending. Rows of hands with fewer points are filled with the last place. None where
        nothing is set.
    list of int
        How many each hand has.
    """
    passed = mask.flatten(1).cumsum(1, dtype=torch.int32)
    counts = passed[:, -1].tolist()  # the processor waits here
    most = max(counts)
    if not most:
        return None, counts
    rank = torch.arange(1, most + 1, dtype=torch.int32, device=mask.device).expand(len(mask), -1)
    # The n-th place is the first one up to which n are set. (nonzero would have to wait a second time.)
    return torch.searchsorted(passed, rank.contiguous()).clamp_(max=passed.shape[1] - 1), counts
