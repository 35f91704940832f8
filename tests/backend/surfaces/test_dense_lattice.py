"""Surface extraction: closed meshes with one component, outward faces, equal to the surface of the dense lattice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from im2hands.core.errors import FrameError
from im2hands.geometry.bones import BONE_ENDS
from im2hands.geometry.marching_cubes import single_component
from im2hands.lab.datasets.inexact_hands import jitter_keypoints
from im2hands.lab.datasets.part_occupancy import posed_hands, signed_distance
from im2hands.surfaces.dense_lattice import extract_surfaces
from im2hands.surfaces.load import load_reconstructor
from im2hands.surfaces.occupancy_field import PartField


class Balls:
    """Analytic field: per hand a union of balls, in metres."""

    def __init__(self, *hands: list[tuple[tuple[float, float, float], float]]) -> None:
        self.hands, self.hand_count, self.asked = hands, len(hands), 0

    def bounds(self, hand: int):
        return torch.full((3,), -0.1), torch.full((3,), 0.1)

    def logits(self, hands, points):
        self.asked += len(points)
        values = torch.empty(len(points))
        for hand, balls in enumerate(self.hands):
            rows = hands == hand
            signed = [radius - (points[rows] - torch.tensor(centre)).norm(dim=1) for centre, radius in balls]
            values[rows] = torch.stack(signed).max(dim=0).values / 0.001
        return values.clamp(-20, 20)


BIG, SMALL = ((0.0, 0.0, 0.0), 0.05), ((0.01, 0.02, 0.0), 0.03)


def test_a_ball_is_a_ball():
    for surface, radius in zip(extract_surfaces(Balls([BIG], [SMALL]), 0.0017), (0.05, 0.03), strict=True):
        mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.body_count == 1
        assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=5e-3)  # positive: faces point outward
    centre = np.array(SMALL[0])
    assert np.abs(np.linalg.norm(surface.vertices - centre, axis=1) - 0.03).max() < 1e-4


@pytest.mark.parametrize(("voxel", "saves"), [(0.006, False), (0.003, False), (0.0017, True), (0.0009, True)])
def test_coarse_to_fine_gives_the_dense_surface(voxel, saves):
    field = Balls([BIG, ((0.06, 0.0, 0.0), 0.011), ((0.0, 0.055, 0.002), 0.004)])
    fine, dense = (extract_surfaces(field, voxel, dense=dense)[0] for dense in (False, True))
    assert np.array_equal(fine.faces, dense.faces)
    assert np.allclose(fine.vertices, dense.vertices, atol=1e-6)
    assert (fine.queries < dense.queries) == saves


def test_the_surface_of_the_network_is_that_of_the_dense_lattice():
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.0017, stage="keypoints")
    hands = posed_hands(3, 4242)
    for k in range(3):
        field = reconstructor.field(hands.keypoints[k : k + 1].numpy(), ["right"])
        fine, dense = (extract_surfaces(field, 0.0017, dense=dense)[0] for dense in (False, True))
        assert np.array_equal(fine.faces, dense.faces)
        assert np.allclose(fine.vertices, dense.vertices, atol=1e-6)
        assert fine.queries < 0.7 * dense.queries


def test_both_hands_in_one_batch_are_what_each_is_alone():
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.003, stage="keypoints")
    keypoints = posed_hands(2, 99).keypoints.numpy()
    keypoints[0] *= (-1, 1, 1)
    both = extract_surfaces(reconstructor.field(keypoints, ["left", "right"]), 0.003)
    for k, side in enumerate(("left", "right")):
        alone = extract_surfaces(reconstructor.field(keypoints[k : k + 1], [side]), 0.003)[0]
        assert np.array_equal(both[k].faces, alone.faces)
        assert np.allclose(both[k].vertices, alone.vertices, atol=1e-6)


def test_chunks_bound_the_memory_and_change_nothing():
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.003, stage="keypoints")
    field: PartField = reconstructor.field(posed_hands(1, 98).keypoints.numpy(), ["right"])
    points = torch.rand(3000, 3) * 0.2 - torch.tensor([0.18, 0.1, 0.1])
    hands = torch.zeros(3000, dtype=torch.int64)
    whole = field.logits(hands, points)
    field._chunk = 700
    largest, original = [], field._chunk_logits
    field._chunk_logits = lambda h, p: largest.append(len(p)) or original(h, p)
    assert torch.allclose(field.logits(hands, points), whole, atol=1e-4)
    assert max(largest) == 700 and (whole > 0).any()


def test_stray_parts_and_cavities_go():
    surface = extract_surfaces(Balls([BIG, ((0.0, 0.08, 0.0), 0.01)]), 0.002)[0]
    assert trimesh.Trimesh(surface.vertices, surface.faces).body_count == 1
    assert surface.vertices[:, 1].max() < 0.055
    grid = np.full((9, 9, 9), -1.0)
    grid[2:7, 2:7, 2:7] = 1.0
    grid[4, 4, 4] = -1.0  # a cavity
    grid[0, 0, 1] = -1.0
    filled = single_component(grid)
    assert filled[4, 4, 4] > 0 and (filled > 0).sum() == 125


def test_a_field_without_an_inside_says_so():
    with pytest.raises(FrameError, match="finds no hand"):
        extract_surfaces(Balls([((0.0, 0.0, 0.0), -0.01)]), 0.003)


def _sections(keypoints: torch.Tensor) -> torch.Tensor:
    """Points (15, 177, 3) of a disc across the middle of each phalanx of a hand (21, 3), 0.12 palms in radius."""
    starts, ends = (torch.tensor(column) for column in zip(*BONE_ENDS[1:], strict=True))
    along = keypoints[ends] - keypoints[starts]
    along = along / along.norm(dim=-1, keepdim=True)
    across = torch.linalg.cross(along, along.roll(1, dims=-1))
    across = across / across.norm(dim=-1, keepdim=True)
    steps = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 15, dtype=torch.float64)] * 2, indexing="ij"), dim=-1)
    disc = steps.reshape(-1, 2)[steps.reshape(-1, 2).norm(dim=-1) <= 1.06] * 0.12 * keypoints[9].norm()
    offsets = disc[:, :1] * across[:, None] + disc[:, 1:] * torch.linalg.cross(along, across)[:, None]
    return 0.5 * (keypoints[starts] + keypoints[ends])[:, None] + offsets


def test_fingers_are_not_threads_when_joints_are_defined_elsewhere():
    """Every phalanx keeps its thickness if a detector defines joints elsewhere along and beside the bones."""
    reconstructor = load_reconstructor("bundled", device=torch.device("cpu"), voxel_m=0.0017, stage="keypoints")
    hands = posed_hands(8, 515)
    moved = jitter_keypoints(hands.keypoints, torch.Generator().manual_seed(2), noise=0.0, definition=1.0)
    field = reconstructor.field(moved.numpy(), ["right"] * 8)
    ratios = []
    for hand in range(8):
        truth = _sections(hands.keypoints[hand])
        vertices = np.ascontiguousarray(hands.vertices[hand].numpy())
        real = (signed_distance(truth.reshape(-1, 3).numpy(), vertices, hands.faces)[0] < 0).reshape(15, -1).sum(axis=1)
        asked = _sections(field._keypoints[hand].double()).float().reshape(-1, 3)
        found = field.logits(torch.full((len(asked),), hand), asked).reshape(15, -1) > 0
        ratios.append(found.sum(dim=1).numpy() / real)
    ratios = np.concatenate(ratios)
    assert 0.8 < np.median(ratios) < 1.25 and (ratios > 0.4).mean() >= 0.98
