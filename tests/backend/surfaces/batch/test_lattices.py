"""Lattices of many hands on one device: the meshes of the single-hand lattices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from im2hands.geometry.bones import QUERY_SCALE
from im2hands.geometry.marching_cubes import closed_mesh
from im2hands.surfaces.batch.lattices import (
    BatchField,
    LatticeBatch,
    Level,
    chosen,
    corners,
    crossed,
    dilated,
    touched,
)
from im2hands.surfaces.walked_lattice import Lattice, LatticeField

VOXEL, COARSEST = 0.0025, 4
LOW = np.array([[-0.06, -0.05, -0.04], [-0.05, -0.045, -0.03], [-0.02, -0.02, -0.02]])
HIGH = np.array([[0.07, 0.05, 0.04], [0.05, 0.06, 0.05], [0.02, 0.02, 0.02]])
Shape = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for small tensors
    yield
    torch.set_num_threads(threads)


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
    lattice, asked = LatticeBatch(LOW, HIGH, VOXEL, COARSEST), []

    def ask(points: torch.Tensor) -> torch.Tensor:
        asked.append(points)
        places = (points * QUERY_SCALE).double().numpy()
        return torch.from_numpy(np.stack([_logits(shape, own) for shape, own in zip(shapes, places, strict=True)]))

    return BatchField(lattice, lattice.begin(lattice.constants), ask), asked


def _refined(field: BatchField, finest: int) -> tuple[Level, torch.Tensor]:
    level = field.level(COARSEST)
    field.evaluate(level, ~level.known)
    cells = crossed(level.values > 0)
    while level.step > finest:
        level, cells = field.finer(level, cells)
        cells = field.walk(level, cells)
    return level, cells


def test_the_meshes_of_each_hand_alone() -> None:
    field, asked = _batch(SHAPES)
    near = field.near_surface(*_refined(field, 1))
    assert near[2] is None and not any(field.near_surface(*_refined(_batch([nothing] * 3)[0], 1)))
    queries = 0
    for hand, known in enumerate(near[:2]):
        lattice = Lattice(LOW[hand], HIGH[hand], VOXEL, COARSEST)
        alone = LatticeField(lattice, lambda points, k=hand, on=lattice: _logits(SHAPES[k], on.positions(points)))
        step, found = COARSEST, alone.crossed(lattice.cells(COARSEST), COARSEST)
        while step > 1:
            found, step = alone.walk(alone.halved(found, step), step // 2), step // 2
        surface, made = alone.surface(found, 1), closed_mesh(known)
        assert made is not None
        assert np.abs(made.vertices - surface.vertices).max() < 1e-7 and np.array_equal(made.faces, surface.faces)
        queries += alone.queries
    assert field.queries < 2.5 * queries
    assert len(asked) < 12  # calls of the network, each of which is waited for; a walk on one level needs dozens


def test_a_surface_that_leaves_the_guessed_cells_is_followed() -> None:
    """A thin branch that the coarse lattices miss."""

    def branch(points: np.ndarray) -> np.ndarray:
        rod = 0.0024 - np.hypot(points[:, 0] - 0.001, points[:, 1] + 0.002)
        return np.maximum(ball(points) + 0.01, np.where(np.abs(points[:, 2]) < 0.037, rod, -1))

    field, _ = _batch([branch, ball, ball])
    known = field.near_surface(*_refined(field, 1))[0]
    made = closed_mesh(known)
    assert made is not None and made.vertices[:, 2].max() > 0.035 and made.vertices[:, 2].min() < -0.035


def test_masks_of_cells() -> None:
    cells = torch.zeros(1, 4, 5, 6, dtype=torch.bool)
    cells[0, 1, 2, 3] = True
    points = corners(cells)
    assert points.shape == (1, 5, 6, 7) and int(points.sum()) == 8 and bool(points[0, 1:3, 2:4, 3:5].all())
    assert int(dilated(cells).sum()) == 27 and int(dilated(cells, 2).sum()) == 4 * 5 * 5
    assert int(touched(points).sum()) == 27
    places, counts = chosen(torch.tensor([[[[True, False, True]]], [[[False, True, False]]], [[[False] * 3]]]))
    assert counts == [2, 1, 0] and places is not None and places.tolist() == [[0, 2], [1, 2], [2, 2]]


def test_nothing_is_asked_twice() -> None:
    field, asked = _batch(SHAPES)
    level, cells = _refined(field, 2)
    before = len(asked)
    field.walk(level, cells)
    assert len(asked) == before
    for hand in range(2):
        own = torch.cat([part[hand] for part in asked])
        inside = (own * QUERY_SCALE < torch.from_numpy(HIGH[hand]).float() + COARSEST * VOXEL).all(1)  # no fillings
        assert len(own[inside].unique(dim=0)) == int(inside.sum())
