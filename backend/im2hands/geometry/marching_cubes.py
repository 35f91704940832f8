"""Logits on a lattice to one closed triangle mesh: without PyTorch, so that other processes can do it."""

from __future__ import annotations

import time
from typing import NamedTuple

import mcubes
import numpy as np
from scipy import ndimage

_OUTSIDE = -1.0


class NearSurface(NamedTuple):
    """What is known of a lattice: the corners of all cells that its surface crosses.

    Args:
        shape: points of the box that holds them, a side. places: (N,) int64, ascending, in the box's order. values:
            (N,) float32 logits, positive inside. low: (3,) position of the box's first point, metres. spacing: metres.
    """

    shape: tuple[int, int, int]
    places: np.ndarray
    values: np.ndarray
    low: np.ndarray
    spacing: float


class ClosedMesh(NamedTuple):
    """A closed surface with a single component.

    Args:
        vertices: (V, 3) float64, metres. faces: (F, 3) int32, outward. cpu_seconds: of the thread that made it.
    """

    vertices: np.ndarray
    faces: np.ndarray
    cpu_seconds: float


def closed_mesh(known: NearSurface) -> ClosedMesh | None:
    """The mesh of the largest closed surface; None where nothing is inside."""
    began = time.thread_time()
    grid = np.zeros(known.shape, np.float32)
    grid.ravel()[known.places] = known.values
    # No surface lies between a corner of a crossed cell and a point that is none: it has the sign of the last corner
    # before it.
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

    Both sides are joined through lattice edges only, so that the surface between them is one closed component.

    Args:
        grid: (X, Y, Z), positive inside, its border outside.
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
