"""Lattices of many hands on one device: bit for bit the meshes of the single-hand lattices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from im2hands.geometry.marching_cubes import closed_mesh
from im2hands.surfaces.batch.lattices import BatchField, LatticeBatch
from im2hands.surfaces.walked_lattice import Lattice, LatticeField

CPU = torch.device("cpu")
VOXEL, COARSEST = 0.0017, 8
LOW = np.array([[-0.06, -0.05, -0.04], [-0.05, -0.045, -0.03], [-0.02, -0.02, -0.02]])
HIGH = np.array([[0.07, 0.05, 0.04], [0.05, 0.06, 0.05], [0.02, 0.02, 0.02]])
Shape = Callable[[np.ndarray], np.ndarray]


def ball(points: np.ndarray) -> np.ndarray:
    return 0.03 - np.linalg.norm(points, axis=1)


def finger(points: np.ndarray) -> np.ndarray:
    """A capsule that is longer than the box, so the box cuts it."""
    away = np.maximum(np.abs(points[:, 2]) - 0.1, 0)
    return 0.007 - np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + away**2)


def nothing(points: np.ndarray) -> np.ndarray:
    return np.full(len(points), -1.0)


SHAPES: list[Shape] = [ball, finger, nothing]


def _logits(shape: Shape, places: np.ndarray) -> np.ndarray:
    return (shape(places.astype(np.float32).astype(np.float64)) * 1000).astype(np.float32)


def _batch(shapes: list[Shape]) -> tuple[BatchField, list[torch.Tensor]]:
    lattice, asked = LatticeBatch(LOW, HIGH, VOXEL, COARSEST, CPU), []

    def ask(points: torch.Tensor) -> torch.Tensor:
        asked.append(points)
        hands, places = lattice.hand(points).numpy(), lattice.positions(points).numpy()
        values = np.empty(len(points), np.float32)
        for hand, shape in enumerate(shapes):
            values[hands == hand] = _logits(shape, places[hands == hand])
        return torch.from_numpy(values)

    return BatchField(lattice, ask), asked


def test_the_meshes_of_each_hand_alone() -> None:
    field, _ = _batch(SHAPES)
    cells = field.refined(field.crossed(field.lattice.cells(COARSEST), COARSEST), COARSEST, 1)
    queries = 0
    for hand, known in enumerate(field.near_surface(cells, 1)):
        lattice = Lattice(LOW[hand], HIGH[hand], VOXEL, COARSEST)
        alone = LatticeField(lattice, lambda points, k=hand, on=lattice: _logits(SHAPES[k], on.positions(points)))
        if SHAPES[hand] is nothing:
            assert known is None
            assert not len(alone.crossed(lattice.cells(COARSEST), COARSEST))
            queries += alone.queries
            continue
        assert known is not None
        step, found = COARSEST, alone.crossed(lattice.cells(COARSEST), COARSEST)
        while step > 1:
            found, step = alone.walk(alone.halved(found, step), step // 2), step // 2
        surface, made = alone.surface(found, 1), closed_mesh(known)
        assert made is not None
        assert np.array_equal(made.vertices, surface.vertices) and np.array_equal(made.faces, surface.faces)
        queries += alone.queries
    assert field.queries == queries


def test_places_and_cells_are_those_of_each_hand_alone() -> None:
    batch = LatticeBatch(LOW, HIGH, VOXEL, COARSEST, CPU)
    for step in (COARSEST, COARSEST // 2):
        cells = batch.cells(step)
        owner = batch.hand(cells)
        assert torch.equal(cells, cells.sort().values)
        for hand in range(3):
            lattice = Lattice(LOW[hand], HIGH[hand], VOXEL, COARSEST)
            own = cells[owner == hand]
            assert np.array_equal(batch.index(own).numpy(), lattice.index(lattice.cells(step)))
            places = batch.positions(batch.corners(own, step).flatten()).numpy()
            expected = lattice.positions(lattice.corners(lattice.cells(step), step).ravel()).astype(np.float32)
            assert np.array_equal(places, expected)


def test_cells_around_another_surface() -> None:
    """The first cells of a refined surface: those inside the initial surface, and their neighbours."""
    field, asked = _batch([ball, finger, nothing])
    field.crossed(field.lattice.cells(COARSEST), COARSEST)
    before = len(asked)
    near = field.reached(COARSEST)
    assert len(asked) == before  # no new queries
    for hand, shape in enumerate((ball, finger)):
        lattice = Lattice(LOW[hand], HIGH[hand], VOXEL, COARSEST)
        alone = LatticeField(lattice, lambda points, s=shape, on=lattice: _logits(s, on.positions(points)))
        own = near[field.lattice.hand(near) == hand]
        assert np.array_equal(field.lattice.index(own).numpy(), lattice.index(alone.reached(COARSEST)))
    assert not (field.lattice.hand(near) == 2).any()


def test_nothing_is_asked_twice() -> None:
    field, asked = _batch(SHAPES)
    cells = field.crossed(field.lattice.cells(COARSEST), COARSEST)
    field.refined(cells, COARSEST, 2)
    field.refined(cells, COARSEST, 2)
    every = torch.cat(asked)
    assert len(every.unique()) == len(every) == field.queries
    assert all(torch.equal(part, part.unique()) for part in asked)
