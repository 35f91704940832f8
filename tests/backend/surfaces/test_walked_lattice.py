"""Walking along a surface: the mesh of the dense lattice from few queries, and the lattice at the edge of its box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.core.errors import FrameError
from im2hands.surfaces.bone_choice import BoneChoice
from im2hands.surfaces.dense_lattice import Surface, extract_surfaces
from im2hands.surfaces.walked_lattice import Lattice, LatticeField

Shape = Callable[[np.ndarray], np.ndarray]
LOW, HIGH = np.array([-0.06, -0.05, -0.04]), np.array([0.07, 0.05, 0.04])
VOXEL = 0.0017


def capsule(start, end, radius: float) -> Shape:
    a, b = np.array(start), np.array(end)

    def inside(points: np.ndarray) -> np.ndarray:
        share = ((points - a) @ (b - a) / max((b - a) @ (b - a), 1e-12)).clip(0, 1)
        return radius - np.linalg.norm(points - a - share[:, None] * (b - a), axis=1)

    return inside


def union(*shapes: Shape) -> Shape:
    return lambda points: np.max([shape(points) for shape in shapes], axis=0)


PALM = capsule((-0.03, 0, 0), (-0.01, 0, 0), 0.022)
# A palm with two thin fingers that are a millimetre apart, less than the lattice spacing.
FINGERS = union(
    PALM, capsule((0, 0.004, 0.001), (0.05, 0.0044, 0.001), 0.0035), capsule((0, -0.004, 0), (0.05, -0.0036, 0), 0.0035)
)
SHAPES: dict[str, Shape] = {
    "palm": PALM,
    "fingers": FINGERS,
    "stray": union(FINGERS, capsule((0.06, 0.03, 0.02), (0.06, 0.03, 0.02), 0.005)),
    "hollow": lambda points: np.minimum(PALM(points), -capsule((-0.02, 0, 0), (-0.02, 0, 0), 0.015)(points)),
    "cut by the box": union(PALM, capsule((0, 0, 0), (0.1, 0, 0.06), 0.01)),
}


class Dense:
    """The same shape as a field, for extraction on the dense lattice."""

    hand_count = 1

    def __init__(self, lattice: Lattice, shape: Shape) -> None:
        self._shape = shape
        corners = lattice.cells(1)[[0, -1]]
        # The lattice begins one cell before the box and ends at the box's last point.
        self._bounds = lattice.positions(corners) + np.array([[lattice.voxel] * 3, [0] * 3]) + 1e-9

    def bounds(self, hand: int):
        low, high = self._bounds
        return torch.from_numpy(low), torch.from_numpy(high - 2e-9)

    def logits(self, hands, points):
        return torch.from_numpy(logits(self._shape, points.double().numpy()))


def logits(shape: Shape, points: np.ndarray) -> np.ndarray:
    # Evaluated at float32 positions, as the networks are.
    return (shape(points.astype(np.float32).astype(np.float64)) * 1000).astype(np.float32)


def walked(shape: Shape, lattice: Lattice) -> tuple[Surface, LatticeField]:
    field = LatticeField(lattice, lambda points: logits(shape, lattice.positions(points)))
    cells, step = field.first_cells()
    while step > 1:
        cells, step = field.walk(field.halved(cells, step), step // 2), step // 2
    return field.surface(cells, step), field


def assert_same(found: Surface, dense: Surface) -> None:
    assert found.faces.shape == dense.faces.shape
    triangles = [surface.vertices[surface.faces].mean(1) for surface in (found, dense)]
    order = [np.lexsort(np.round(middle / 1e-7).T) for middle in triangles]
    assert np.abs(triangles[0][order[0]] - triangles[1][order[1]]).max() < 1e-6


@pytest.mark.parametrize("name", SHAPES)
def test_the_mesh_of_the_dense_lattice(name: str) -> None:
    lattice = Lattice(LOW, HIGH, VOXEL, 8)
    found, field = walked(SHAPES[name], lattice)
    dense = extract_surfaces(Dense(lattice, SHAPES[name]), VOXEL, dense=True)[0]
    assert_same(found, dense)
    mesh = trimesh.Trimesh(found.vertices, found.faces, process=False)
    assert mesh.is_watertight and mesh.body_count == 1 and mesh.volume > 0
    assert found.queries == field.queries < 0.15 * dense.queries


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_mesh_of_the_dense_lattice_for_any_blob(seed: int) -> None:
    draw = np.random.default_rng(seed)
    waves, phase = draw.normal(0, 70, (8, 3)), draw.uniform(0, 6, 8)

    def blob(points: np.ndarray) -> np.ndarray:
        return 0.03 - np.linalg.norm(points, axis=1) + 0.004 * np.sin(points @ waves.T + phase).sum(1)

    lattice = Lattice(LOW, HIGH, 0.003, 4)
    assert_same(walked(blob, lattice)[0], extract_surfaces(Dense(lattice, blob), 0.003, dense=True)[0])


def test_nothing_is_asked_twice() -> None:
    lattice, asked = Lattice(LOW, HIGH, VOXEL, 8), []
    field = LatticeField(lattice, lambda points: asked.append(points) or logits(PALM, lattice.positions(points)))
    cells, _ = field.first_cells()
    field.walk(field.halved(cells, 8), 4)
    before = len(np.concatenate(asked))
    field.walk(field.halved(cells, 8), 4)
    every = np.concatenate(asked)
    assert len(np.unique(every)) == len(every) == before == field.queries


def test_a_hand_too_small_for_the_coarsest_lattice() -> None:
    lattice = Lattice(LOW, HIGH, VOXEL, 8)
    small = capsule((0.0068, 0.0068, 0.0068), (0.02, 0.0068, 0.0068), 0.004)
    found, _ = walked(small, lattice)
    assert_same(found, extract_surfaces(Dense(lattice, small), VOXEL, dense=True)[0])


def test_no_hand() -> None:
    lattice = Lattice(LOW, HIGH, 0.005, 2)
    field = LatticeField(lattice, lambda points: np.full(len(points), -3.0, np.float32))
    with pytest.raises(FrameError, match="no hand"):
        field.first_cells()
    with pytest.raises(FrameError, match="no hand"):
        field.surface(field.walk(lattice.cells(1)[:5], 1), 1)


def test_bones_that_may_win_are_asked() -> None:
    lattice = Lattice(LOW, HIGH, VOXEL, 8)
    centres = np.random.default_rng(0).uniform(LOW, HIGH, (16, 3))

    def parts(points: np.ndarray) -> np.ndarray:
        """Sixteen balls of 15 mm; logits that level off, as the networks' do."""
        distance = np.linalg.norm(lattice.positions(points)[:, None] - centres, axis=2)
        return 20 * np.tanh((0.015 - distance) * 50)

    cells = lattice.cells(4)
    known = cells[: len(cells) // 2]
    choice = BoneChoice(lattice, 4, known, parts(lattice.corners(known, 4).ravel()).reshape(-1, 8, 16))
    fine = np.random.default_rng(1).choice(lattice.cells(1), 5000)
    asked, values = choice(fine), parts(fine)
    assert np.array_equal(np.where(asked, values, -np.inf).max(1), values.max(1))
    unknown = lattice.index(fine)[:, 0] > lattice.index(known)[:, 0].max() + 4
    assert asked[unknown].all() and unknown.any()
    assert asked[~unknown].sum(1).mean() < 5
