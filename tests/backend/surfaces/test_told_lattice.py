"""What the anchors tell of a lattice's points: asked once at coarse points, interpolated between them."""

from __future__ import annotations

import numpy as np
import torch

from im2hands.surfaces.told_lattice import ToldLattice
from im2hands.surfaces.walked_lattice import Lattice


def test_coarse_points_are_asked_once_and_a_linear_field_is_interpolated_exactly() -> None:
    lattice, asked = Lattice(np.full(3, -0.02), np.full(3, 0.03), 0.0017, 4), []

    def field(points: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(lattice.positions(points) @ np.array([[3.0, 1], [-2, 5], [7, 0]])).float()

    def ask(points: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(points)
        return field(points), torch.from_numpy(lattice.positions(points)[:, 0] > -0.0125).long()

    told = ToldLattice(lattice, 2, ask)
    inner = lattice.points(np.stack(np.meshgrid(*[np.arange(4, 14)] * 3, indexing="ij"), axis=-1)).ravel()
    for points in (lattice.points(np.array([[4, 6, 8], [6, 6, 6]])), inner):
        features, between = told.at(points)
        assert torch.allclose(features, field(points), atol=1e-6)
        # The points asked have other choices on both sides of -0.0125: only between these the answer is doubtful.
        x, odd = lattice.positions(points)[:, 0], lattice.index(points)[:, 0] % 2
        around = np.stack([x - odd * lattice.voxel, x + odd * lattice.voxel]) > -0.0125
        assert torch.equal(between, torch.from_numpy(around[0] != around[1]))
    assert between.any() and not between.all()
    everything = np.concatenate(asked)
    assert len(np.unique(everything)) == len(everything) and not (lattice.index(everything) % 2).any()
