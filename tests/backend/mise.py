"""Multiresolution isosurface extraction (MISE): which lattice points to evaluate, in the published order.

The method is that of Mescheder et al., "Occupancy Networks" (CVPR 2019). All points of a coarse lattice are evaluated.
A voxel whose known points lie on both sides of the threshold is split into eight, and the points that this adds are
evaluated next, until no point is unknown.
"""

from __future__ import annotations

import numpy as np

from im2hands.geometry.bones import BOX

_CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
_SUBLATTICE = np.array([(x, y, z) for x in range(3) for y in range(3) for z in range(3)])


def lattice_positions(indices: np.ndarray, resolution: int) -> np.ndarray:
    """Lattice points (N, 3), whole numbers from 0 to ``resolution``, in query space, (N, 3) float32.

    All arithmetic is in float32, as in the published code, because the last bit decides the order of cells.
    """
    share = indices.astype(np.float32) / np.float32(resolution) - np.float32(0.5)
    return np.float32(BOX) * share


class Mise:
    """The state of one extraction.

    Evaluate the points ``unknown`` and pass the values to ``update``, until ``unknown`` is empty.

    Parameters
    ----------
    coarsest : int
        Voxels along each side of the first lattice (published: 32).
    steps : int
        How often a voxel may be split (published: 3).
    threshold : float
        Threshold of the values. A point at the threshold counts for both sides.
    """

    def __init__(self, coarsest: int, steps: int, threshold: float) -> None:
        self.resolution = coarsest << steps
        self.threshold = threshold
        self._steps = steps
        self._points: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._exists = np.zeros((self.resolution + 1,) * 3, dtype=bool)
        # For each level that can be split: the voxels with a known point above the threshold, and below. A point marks
        # the voxels around it on all levels at once, so a voxel that is created later has the marks of older points.
        sides = [(coarsest << level,) * 3 for level in range(steps)]
        self._above = [np.zeros(shape, dtype=bool) for shape in sides]
        self._below = [np.zeros(shape, dtype=bool) for shape in sides]
        # Voxels that may still be split, in the order of their creation: position at their level, and level.
        self._voxels = _block(coarsest)
        self._levels = np.zeros(len(self._voxels), dtype=np.int64)
        self.unknown = _block(coarsest + 1) << steps
        self._exists[tuple(self.unknown.T)] = True
        if not steps:
            self._voxels, self._levels = self._voxels[:0], self._levels[:0]

    def update(self, values: np.ndarray) -> None:
        """Take the values (N,) of the points ``unknown`` and find the next points.

        Raises
        ------
        ValueError
            The number of values differs from the number of points, or a value is NaN.
        """
        values = np.asarray(values)
        if values.shape != (len(self.unknown),) or np.isnan(values).any():
            raise ValueError(f"{values.shape} values for {len(self.unknown)} points, or NaN among them")
        self._points.append(self.unknown)
        self._values.append(values)
        self._mark(self.unknown, values.astype(np.float64))
        self.unknown = self._split()

    def dense(self) -> np.ndarray:
        """The whole lattice (n+1, n+1, n+1), x slowest, with the dtype of the values.

        Points that were never evaluated copy the previous point along x; those that are left, along y; then along z.
        """
        dtype = np.result_type(*self._values)
        grid = np.full(self._exists.shape, np.nan, dtype=dtype)
        for points, values in zip(self._points, self._values, strict=True):
            grid[tuple(points.T)] = values
        for axis in range(3):
            lines = np.moveaxis(grid, axis, 0)
            for i in range(1, len(lines)):
                np.copyto(lines[i], lines[i - 1], where=np.isnan(lines[i]))
        return grid

    def _mark(self, points: np.ndarray, values: np.ndarray) -> None:
        """Mark, on every level, the voxels whose closed box holds a point (N, 3) above or below the threshold."""
        for level, (above, below) in enumerate(zip(self._above, self._below, strict=True)):
            shift = self._steps - level
            for chosen, marks in ((points[values >= self.threshold], above), (points[values <= self.threshold], below)):
                for corner in _CORNERS:
                    cell = chosen - corner
                    inside = ((cell >= 0) & (cell < self.resolution)).all(1)
                    marks[tuple((cell[inside] >> shift).T)] = True

    def _split(self) -> np.ndarray:
        """Split the voxels with both marks; return the points that this adds, (N, 3), in order."""
        split = np.zeros(len(self._voxels), dtype=bool)
        for level in range(self._steps):
            rows = (self._levels == level).nonzero()[0]
            where = tuple(self._voxels[rows].T)
            split[rows] = self._above[level][where] & self._below[level][where]
        parents, levels = self._voxels[split], self._levels[split]
        if not len(parents):
            return np.zeros((0, 3), dtype=np.int64)
        children = (2 * parents[:, None] + _CORNERS).reshape(-1, 3)
        child_levels = np.repeat(levels + 1, 8)
        coarse = child_levels < self._steps  # the finest are never split
        self._voxels = np.concatenate([self._voxels[~split], children[coarse]])
        self._levels = np.concatenate([self._levels[~split], child_levels[coarse]])

        half = (self.resolution // self._above[0].shape[0]) >> (levels + 1)
        points = ((2 * parents[:, None] + _SUBLATTICE) * half[:, None, None]).reshape(-1, 3)
        points = points[~self._exists[tuple(points.T)]]
        key = np.ravel_multi_index(tuple(points.T), self._exists.shape)
        points = points[np.sort(np.unique(key, return_index=True)[1])]
        self._exists[tuple(points.T)] = True
        return points


def _block(side: int) -> np.ndarray:
    """Indices of a cubic lattice, (side³, 3) int64, x slowest."""
    return np.indices((side,) * 3).reshape(3, -1).T.astype(np.int64)
