"""MISE, marching cubes and the initial stage's meshes, compared with the recorded parity data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh

from golden import fill, image_tensor, load, worst
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import Bones
from im2hands.networks.initial_hand import Extrinsics
from im2hands.networks.initial_occupancy import InitialOccupancy
from lattice_surface import LatticeSurface, extract
from mise import Mise, lattice_positions

VALUES, VERTICES, EXPORTED_MM = 5e-6, 1e-9, 1e-4


def run(mise: Mise, field: Callable[[np.ndarray], np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points and values of every round, until MISE asks for no more points."""
    points, values = [], []
    while len(mise.unknown):
        points.append(mise.unknown)
        values.append(field(mise.unknown))
        mise.update(values[-1])
    return points, values


def spheres(golden: dict[str, np.ndarray], resolution: int) -> Callable[[np.ndarray], np.ndarray]:
    """The analytic field of the golden file."""

    def value(indices: np.ndarray) -> np.ndarray:
        p = lattice_positions(indices, resolution).astype(np.float64)
        away = np.linalg.norm(p[:, None] - golden["sphere_centres"], axis=-1)
        return (1 / (1 + np.exp(-40 * (golden["sphere_radii"] - away).max(1)))).astype(np.float32)

    return value


@pytest.fixture(scope="module")
def golden():
    return load("mise_mc")


@pytest.mark.parity
def test_small_run(golden):
    mise = Mise(8, 2, 0.5)
    points, values = run(mise, spheres(golden, mise.resolution))
    assert np.array_equal([len(p) for p in points], golden["small_counts"])
    assert np.array_equal(np.concatenate(points), golden["small_queries"])
    assert np.array_equal(np.concatenate(values), golden["small_values"])
    grid = mise.dense()
    assert np.array_equal(grid, golden["small_grid"])
    for copy in (grid, grid.astype(np.float64)):
        surface = extract(copy, 0.5)
        assert np.array_equal(surface.faces, golden["small_faces"])
        assert worst(surface.vertices, golden["small_vertices"]) <= VERTICES


@pytest.mark.parity
def test_full_run(golden):
    mise = Mise(32, 3, 0.45)
    points, _ = run(mise, spheres(golden, mise.resolution))
    assert np.array_equal([len(p) for p in points], golden["full_counts"])
    assert np.array_equal([p[0] for p in points], golden["full_first_points"])
    assert np.array_equal([p[-1] for p in points], golden["full_last_points"])
    grid = mise.dense()
    assert np.isclose(grid.sum(dtype=np.float64), golden["full_grid_sum"][0], rtol=1e-12, atol=0)
    surface = extract(grid, 0.45)
    assert (len(surface.vertices), len(surface.faces)) == (golden["full_n_vertices"][0], golden["full_n_faces"][0])
    assert worst(surface.vertices[:2000], golden["full_vertices_head"]) <= VERTICES
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight and np.isclose(mesh.volume, golden["full_volume"][0], rtol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_initial_stage_meshes(initial_network, side):
    inputs, mesh = load("init_occ"), load("mesh_init_occ")
    transforms, lengths, rotation, wrist = (
        torch.from_numpy(inputs[f"{side}_{name}"]).double()[None]
        for name in ("inputs", "bone_lengths", "root_rot_mat", "root_xyz")
    )
    mirror = torch.tensor([[-1.0 if side == "left" else 1.0, 1.0, 1.0]], dtype=torch.float64)
    bones = Bones(transforms, lengths, rotation[:, :3, :3], wrist, mirror)
    camera = Extrinsics(*(torch.from_numpy(inputs[name])[None] for name in ("cam_R", "cam_T")))
    features = initial_network.encode(image_tensor(inputs["image_rgb_u8"]))
    hand = initial_network.hand(side, features, bones, camera)

    threshold = float(mesh["threshold"][0])
    mise = Mise(int(mesh["resolution0"][0]), int(mesh["upsampling_steps"][0]), threshold)
    counts = mesh["counts"][:, SIDES.index(side)]
    start = 0
    for count in counts[counts > 0]:
        rows = slice(start, start + count)
        asked = lattice_positions(mise.unknown, mise.resolution)
        assert np.array_equal(asked, mesh[f"{side}_points"][rows])
        with torch.no_grad():
            values = hand.occupancy(torch.from_numpy(asked)[None], "first query")[0]
        assert worst(values, mesh[f"{side}_values"][rows]) <= VALUES
        # Continue with the recorded values: a difference in the last bit may flip a cell.
        mise.update(mesh[f"{side}_values"][rows])
        start += count
    assert start == len(mesh[f"{side}_points"]) and not len(mise.unknown)
    grid = mise.dense()
    assert np.array_equal(grid, mesh[f"{side}_grid"])
    surface = extract(grid, threshold)
    assert worst(surface.vertices, mesh[f"{side}_vertices"]) <= VERTICES
    assert np.array_equal(surface.faces, mesh[f"{side}_faces"])

    written = surface.wrist_relative(bones)
    assert worst(written.vertices, mesh[f"{side}_vertices_exported"]) <= EXPORTED_MM
    assert trimesh.Trimesh(written.vertices, written.faces, process=False).volume > 0
    world = bones.from_query_space(torch.from_numpy(surface.vertices)[None])[0].numpy()
    assert np.allclose(surface.in_world(bones).vertices, world, atol=1e-12)
    assert np.allclose(world - (bones.wrist * bones.mirror)[0].numpy(), written.vertices / 1000, atol=1e-12)


@pytest.fixture(scope="module")
def initial_network() -> InitialOccupancy:
    network = InitialOccupancy().eval()
    fill(network)
    return network


def test_points_at_the_threshold_count_for_both_sides():
    mise = Mise(2, 1, 0.5)
    points, _ = run(mise, lambda indices: np.where((indices == 2).all(1), 0.5, 0.0))
    assert [len(p) for p in points] == [27, 98]  # all eight voxels touch the point in the middle


def test_values_are_checked():
    mise = Mise(2, 1, 0.5)
    with pytest.raises(ValueError, match="26"):
        mise.update(np.zeros(26))
    with pytest.raises(ValueError, match="NaN"):
        mise.update(np.full(27, np.nan))


def test_no_splits_and_no_surface():
    mise = Mise(4, 0, 0.5)
    points, _ = run(mise, lambda indices: np.zeros(len(indices), np.float32))
    assert [len(p) for p in points] == [125]
    surface = extract(mise.dense(), 0.5)
    assert surface.vertices.shape == (0, 3) and surface.faces.shape == (0, 3)


def test_a_surface_that_fills_the_cube_is_closed():
    surface: LatticeSurface = extract(np.ones((5, 5, 5), np.float32), 0.5)
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    assert mesh.is_watertight and mesh.volume == pytest.approx(1.1**3, rel=1e-4)
