"""Marching cubes: logits near a surface to one closed triangle mesh.

This module does without PyTorch, so that worker processes can use it.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import mcubes
import numpy as np
from scipy import ndimage

_OUTSIDE = -1.0


class NearSurface(NamedTuple):
    """Logits at the corners of all lattice cells that the surface crosses.

    Parameters
    ----------
    shape : (3,) ints
        Lattice points along each axis of the box that holds the corners.
    places : (N,) int64
        Flat indices of the corners in the box, ascending.
    values : (N,) float32
        Logits at the corners, positive inside.
    low : (3,) float
        Position of the box's first point, metres.
    spacing : float
        Distance between neighbouring lattice points, metres.
    """

    shape: tuple[int, int, int]
    places: np.ndarray
    values: np.ndarray
    low: np.ndarray
    spacing: float


class ClosedMesh(NamedTuple):
    """A closed surface with a single component.

    Parameters
    ----------
    vertices : (V, 3) float64
        Vertices, metres.
    faces : (F, 3) int32
        Triangles, outward.
    cpu_seconds : float
        Processor time of the thread that made the mesh.
    """

    vertices: np.ndarray
    faces: np.ndarray
    cpu_seconds: float


def closed_mesh(known: NearSurface) -> ClosedMesh | None:
    """Extract the largest closed surface.

    Parameters
    ----------
    known : NearSurface
        The logits near the surface.

    Returns
    -------
    ClosedMesh or None
        The mesh; None if no point is inside.
    """
    began = time.thread_time()
    grid = np.zeros(known.shape, np.float32)
    grid.ravel()[known.places] = known.values
    # A point that is no corner of a crossed cell is not separated by the surface from its neighbours. So it takes the
    # sign of the point before it along x.
    last = np.full(grid.shape[1:], _OUTSIDE, np.float32)
    for plane in grid:
        np.copyto(plane, last, where=plane == 0)
        last = np.sign(plane)
    whole = single_component(np.pad(grid.astype(np.float64), 1, constant_values=_OUTSIDE))
    if not (whole > 0).any():
        return None
    vertices, faces = mcubes.marching_cubes(whole, 0.0)
    vertices = (vertices - 1) * known.spacing + known.low
    return ClosedMesh(vertices, faces.astype(np.int32), time.thread_time() - began)


def single_component(grid: np.ndarray) -> np.ndarray:
    """Keep the largest inside part of a grid of logits and fill its cavities.

    Parts are joined through lattice edges only, inside and outside. So the surface between them is one closed
    component.

    Parameters
    ----------
    grid : (X, Y, Z) float
        Logits, positive inside. The border of the grid is outside.

    Returns
    -------
    (X, Y, Z) float
        The logits, with the sign changed in the other parts and the cavities.
    """
    inside, count = ndimage.label(grid > 0)
    if count > 1:
        sizes = np.bincount(inside.ravel())
        sizes[0] = 0
        stray = (inside > 0) & (inside != sizes.argmax())
        grid = np.where(stray, -np.maximum(np.abs(grid), 1e-2), grid)
    outside, count = ndimage.label(grid <= 0)
    if count > 1:
        cavity = (outside > 0) & (outside != outside[0, 0, 0])
        grid = np.where(cavity, np.maximum(np.abs(grid), 1e-2), grid)
    return grid
