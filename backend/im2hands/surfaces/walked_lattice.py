"""Surface extraction by walking along the surface: a network is evaluated only at the corners of cells it crosses.

A coarse lattice gives the first cells. Each finer lattice starts at the coarser surface and walks: from a crossed cell
through every face whose corners have both signs to the next cell, until there are no new cells. The evaluated points
then contain the ends of every lattice edge that each closed surface reached crosses. The other corners of crossed cells
only need a sign, which the coarser lattice gives unless it is in doubt. The mesh therefore equals that of the dense
lattice (``dense_lattice.extract_surfaces`` with ``dense=True``), at the cost of 1.6 points per crossed cell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from im2hands.core.errors import FrameError
from im2hands.geometry.marching_cubes import NearSurface, closed_mesh

from .dense_lattice import Surface

OUTSIDE = -1.0
"""Logit of the rim around the box."""
SMALLEST = 1e-4
"""Least absolute logit; a logit of exactly 0 would give triangles without area."""
CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
"""(8, 3) offsets of a cell's corners."""
AROUND = np.array([(x, y, z) for x in range(3) for y in range(3) for z in range(3)])
"""(27, 3) offsets, plus 1, of a cell and its neighbours."""
CLEAR = 0.125
"""An interpolated logit has the right sign if it is farther from 0 than this share of the variation over its cell."""
# Per face of a cell: the numbers of its four corners, and the offset to the cell on its other side.
SIDES_OF_CELL = [
    ((CORNERS[:, axis] == high).nonzero()[0], np.eye(3, dtype=int)[axis] * (2 * high - 1))
    for axis in range(3)
    for high in (0, 1)
]


class Lattice:
    """The points of a box at whole multiples of a spacing, and the coarser lattices among them.

    Points are numbered. A point also stands for the cell whose lowest corner it is. The box is surrounded by a rim of
    points that count as outside, which closes a surface at the box.

    Parameters
    ----------
    low : (3,) float
        Lowest corner of the box, metres.
    high : (3,) float
        Highest corner of the box, metres.
    voxel : float
        Spacing, metres.
    coarsest : int
        Step of the coarsest lattice, in voxels.

    Attributes
    ----------
    shape : tuple of int
        Number of points along x, y and z, the rim included.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, voxel: float, coarsest: int) -> None:
        self.voxel, self.coarsest = voxel, coarsest
        # Lattice points are whole multiples of the voxel, so a hand that does not move keeps its triangles.
        first = np.floor(np.asarray(low, float) / (voxel * coarsest)).astype(int)
        last = np.ceil(np.asarray(high, float) / (voxel * coarsest)).astype(int)
        self._origin = (first - 1) * coarsest
        self.shape = tuple(int(n) for n in (last - first + 2) * coarsest + 1)
        self._strides = np.array([self.shape[1] * self.shape[2], self.shape[2], 1])

    def positions(self, points: np.ndarray) -> np.ndarray:
        """The positions of points.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattice, as numbers.

        Returns
        -------
        (N, 3) float64
            Positions, metres.
        """
        return (self.index(points) + self._origin) * self.voxel

    def index(self, points: np.ndarray) -> np.ndarray:
        """The coordinates of points in an array of ``shape``.

        Parameters
        ----------
        points : (N,) int64
            Points of the lattice, as numbers.

        Returns
        -------
        (N, 3) int64
            Coordinates.
        """
        return np.stack(np.unravel_index(points, self.shape), axis=-1)

    def points(self, index: np.ndarray) -> np.ndarray:
        """The points at coordinates; the inverse of ``index``.

        Parameters
        ----------
        index : (..., 3) int64
            Coordinates in an array of ``shape``, or offsets between coordinates.

        Returns
        -------
        (...) int64
            Points, or offsets between points.
        """
        return index @ self._strides

    def corners(self, cells: np.ndarray, step: int) -> np.ndarray:
        """The corners of cells.

        Parameters
        ----------
        cells : (N,) int64
            Cells of the lattice with that step.
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        (N, 8) int64
            Points, in the order of ``CORNERS``.
        """
        return cells[:, None] + self.points(CORNERS * step)

    def cells(self, step: int) -> np.ndarray:
        """All cells of the lattice with a step that contain a point of the box.

        Parameters
        ----------
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        (N,) int64
            Cells.
        """
        axes = (np.arange(self.coarsest - step, n - self.coarsest, step) for n in self.shape)
        return self.points(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)).ravel()

    def rim(self) -> np.ndarray:
        """Bool array of ``shape``: the points around the box."""
        rim = np.ones(self.shape, dtype=bool)
        rim[(slice(self.coarsest, -self.coarsest),) * 3] = False
        return rim


class LatticeField:
    """A network evaluated on a lattice, each point at most once.

    Parameters
    ----------
    lattice : Lattice
        The lattice.
    ask : callable
        Evaluates the network: points (N,) of the lattice to logits (N,) float32, positive inside.

    Attributes
    ----------
    queries : int
        Number of points that were evaluated.
    """

    def __init__(self, lattice: Lattice, ask: Callable[[np.ndarray], np.ndarray]) -> None:
        self.lattice, self.queries = lattice, 0
        self._ask = ask
        self._values = np.full(lattice.shape, OUTSIDE, np.float32).ravel()
        self._known = lattice.rim().ravel()
        self._guessed = np.zeros(len(self._values), dtype=bool)  # the value has the right sign, no more

    def values(self, points: np.ndarray) -> np.ndarray:
        """The logits of points; points without a value are evaluated.

        Parameters
        ----------
        points : (...) int64
            Points of the lattice, as numbers.

        Returns
        -------
        (...) float32
            Logits, positive inside.
        """
        unknown = points[~self._known[points]]
        if len(unknown):
            unknown = np.unique(unknown)
            self.queries += len(unknown)
            values = self._ask(unknown)
            values[np.abs(values) < SMALLEST] = SMALLEST
            self._values[unknown], self._known[unknown] = values, True
        return self._values[points]

    def reached(self, step: int) -> np.ndarray:
        """Cells with a corner inside, and their neighbours, on a lattice that is evaluated completely.

        Parameters
        ----------
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        (N,) int64
            Cells, sorted.
        """
        cells = self.lattice.cells(step)
        inside = (self.values(self.lattice.corners(cells, step)) > 0).any(1)
        near = np.unique(cells[inside][:, None] + self.lattice.points((AROUND - 1) * step))
        return near[np.isin(near, cells, assume_unique=True)]

    def crossed(self, cells: np.ndarray, step: int) -> np.ndarray:
        """The cells that the surface crosses: their corners have both signs.

        Parameters
        ----------
        cells : (N,) int64
            Cells of the lattice with that step.
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        (M,) int64
            Crossed cells.
        """
        inside = self.values(self.lattice.corners(cells, step)) > 0
        return cells[inside.any(1) & ~inside.all(1)]

    def walk(self, cells: np.ndarray, step: int) -> np.ndarray:
        """All crossed cells that can be reached from the crossed ones among ``cells``.

        Parameters
        ----------
        cells : (N,) int
            Cells to start from.
        step : int
            Step of their lattice, in voxels.

        Returns
        -------
        (M,) int64
            Crossed cells, sorted.
        """
        lattice = self.lattice
        visited = np.zeros(len(self._values), dtype=bool)
        found = []
        while len(cells):
            visited[cells] = True
            inside = self._inside(lattice.corners(cells, step))
            crossed = inside.any(1) & ~inside.all(1)
            cells, inside = cells[crossed], inside[crossed]
            found.append(cells)
            onward = []
            for corners, towards in SIDES_OF_CELL:
                mixed = inside[:, corners].any(1) & ~inside[:, corners].all(1)
                onward.append(cells[mixed] + lattice.points(towards * step))
            cells = np.concatenate(onward)
            cells = np.unique(cells[~visited[cells]])
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _inside(self, corners: np.ndarray) -> np.ndarray:
        """(N, 8) bool: which corners of cells are inside; those at crossed edges are evaluated."""
        unknown = ~self._known[corners] & ~self._guessed[corners]
        while True:
            if unknown.any():
                self.values(corners[unknown])
            inside: np.ndarray = self._values[corners] > 0
            cube = inside.reshape(-1, 2, 2, 2)
            ends = np.zeros_like(cube)
            for axis in (1, 2, 3):
                first, last = np.split(cube, 2, axis=axis)
                ends |= first != last
            unknown = ends.reshape(-1, 8) & ~self._known[corners]
            if not unknown.any():
                return inside

    def halved(self, cells: np.ndarray, step: int) -> np.ndarray:
        """Cells of half the size that the surface should cross, within crossed cells.

        The logits between the corners are interpolated; the network is not evaluated.

        Parameters
        ----------
        cells : (N,) int64
            Crossed cells of the lattice with that step.
        step : int
            Step of the lattice, in voxels.

        Returns
        -------
        (M,) int64
            Cells of the lattice with half that step.
        """
        cube = self._values[self.lattice.corners(cells, step)].reshape(-1, 2, 2, 2)
        doubt = CLEAR * (cube.max((1, 2, 3)) - cube.min((1, 2, 3)))
        for axis in (1, 2, 3):
            first, last = np.split(cube, 2, axis=axis)
            cube = np.concatenate([first, (first + last) / 2, last], axis=axis)
        points, guesses = cells[:, None] + self.lattice.points(AROUND * (step // 2)), cube.reshape(-1, len(AROUND))
        clear, unknown = np.abs(guesses) > doubt[:, None], ~self._known[points]
        self._guessed[points[clear]] = True
        self._guessed[points[~clear]] = False
        self._values[points[unknown & clear]] = guesses[unknown & clear]
        return self._split(cells, cube > 0, step // 2)

    def _split(self, cells: np.ndarray, inside: np.ndarray, step: int) -> np.ndarray:
        """The eighths of cells (N,), of size ``step``, whose corners, among ``inside`` (N, 3, 3, 3), have both
        signs."""
        found = []
        for place in CORNERS:
            eighth = inside[(slice(None), *(slice(k, k + 2) for k in place))].reshape(-1, 8)
            mixed = eighth.any(1) & ~eighth.all(1)
            found.append(cells[mixed] + self.lattice.points(place * step))
        found_cells = np.concatenate(found)
        index = self.lattice.index(found_cells)
        # The rim is wider on a coarse lattice; on this one no cell of its outer part is crossed.
        inner = self.lattice.coarsest - step
        within = ((index >= inner) & (index <= np.array(self.lattice.shape) - 1 - self.lattice.coarsest)).all(1)
        return found_cells[within]

    def first_cells(self) -> tuple[np.ndarray, int]:
        """The crossed cells of the coarsest lattice that has any; it is evaluated completely.

        Returns
        -------
        cells : (N,) int64
            Crossed cells.
        step : int
            Step of their lattice, in voxels.

        Raises
        ------
        FrameError
            No point of any lattice is inside.
        """
        step = self.lattice.coarsest
        while step:
            cells = self.crossed(self.lattice.cells(step), step)
            if len(cells):
                return cells, step
            step //= 2
        raise no_hand()

    def surface(self, cells: np.ndarray, step: int) -> Surface:
        """The mesh of the largest closed surface among crossed cells.

        Parameters
        ----------
        cells : (N,) int64
            Crossed cells that ``walk`` found.
        step : int
            Step of their lattice, in voxels.

        Returns
        -------
        Surface
            The mesh, metres.

        Raises
        ------
        FrameError
            There are no crossed cells.
        """
        if not len(cells):
            raise no_hand()
        index = self.lattice.index(cells)
        low, high = index.min(0), index.max(0) + step
        box = tuple(slice(a, b + 1, step) for a, b in zip(low, high, strict=True))
        values = self._values.reshape(self.lattice.shape)[box]
        touched = np.zeros(values.shape, dtype=bool)  # only corners of these cells: other points were evaluated too
        at = (index - low) // step
        for corner in CORNERS:
            touched[tuple((at + corner).T)] = True
        places = touched.ravel().nonzero()[0]
        first, spacing = self.lattice.positions(self.lattice.points(low)[None])[0], self.lattice.voxel * step
        made = closed_mesh(NearSurface(values.shape, places, values.ravel()[places], first, spacing))
        if made is None:
            raise no_hand()
        return Surface(made.vertices, made.faces, self.queries)


def no_hand() -> FrameError:
    """The error for a network that predicts "outside" everywhere."""
    return FrameError("The network finds no hand around these keypoints.", "Check the keypoints of this frame.")
