"""Error measures of reconstructed hands, on hands and simple bodies with known results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from im2hands.geometry.bones import QUERY_SCALE, bones_from_keypoints
from im2hands.geometry.hand_model import HandModel
from im2hands.lab.datasets.part_occupancy import inside, signed_distance
from im2hands.lab.evaluation.measures import (
    CUT_M,
    IOU_POINTS,
    SURFACE_POINTS,
    Mesh,
    TrueHand,
    gap_error_mm,
    measure_hand,
    penetration_ml,
)
from im2hands.lab.synthesis.poses import mean_shape, random_rotations


@pytest.fixture(scope="module")
def hand() -> tuple[Mesh, np.ndarray]:
    """A right hand half a metre in front of the camera."""
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    vertices, keypoints = model.pose(vertices, heads, random_rotations(model, heads, torch.Generator().manual_seed(3)))
    away = np.array([0.05, -0.1, 0.5])
    return Mesh(vertices[0].numpy() + away, model.faces.numpy()), keypoints[0].numpy() + away


def mirrored(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices * (-1, 1, 1), mesh.faces[:, ::-1])


def test_the_true_hand_is_perfect_wherever_it_stands(hand: tuple[Mesh, np.ndarray]) -> None:
    mesh, keypoints = hand
    away = np.array([0.3, 0.0, 0.2])
    measured = measure_hand("right", mesh, keypoints, Mesh(mesh.vertices + away, mesh.faces), keypoints + away, 1)
    assert measured.iou > 0.999
    assert measured.chamfer_mm < 0.01
    assert measured.mpjpe_mm < 1e-6


def test_left_hands_are_measured_as_right_ones(hand: tuple[Mesh, np.ndarray]) -> None:
    mesh, keypoints = hand
    thick = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    grown = Mesh(mesh.vertices + 0.001 * thick.vertex_normals, mesh.faces)
    right = measure_hand("right", mesh, keypoints, grown, keypoints, 1)
    left = measure_hand(
        "left", mirrored(mesh), keypoints * (-1, 1, 1), mirrored(grown), keypoints * (-1, 1, 1), 1
    )  # fmt: skip
    assert right.chamfer_mm == pytest.approx(1.0, abs=0.1)
    assert left.iou == pytest.approx(right.iou, abs=1e-6)
    assert left.chamfer_mm == pytest.approx(right.chamfer_mm, rel=1e-6)
    assert 0.7 < right.iou < 0.92


def test_the_forearm_behind_the_cut_does_not_count(hand: tuple[Mesh, np.ndarray]) -> None:
    mesh, keypoints = hand
    along = keypoints[0] - keypoints[9]
    along /= np.linalg.norm(along)
    behind = np.clip((mesh.vertices - keypoints[0]) @ along - 0.03, 0, None)
    stretched = Mesh(mesh.vertices + behind[:, None] * along, mesh.faces)
    measured = measure_hand("right", mesh, keypoints, stretched, keypoints, 1)
    assert measured.iou > 0.999
    assert measured.chamfer_mm < 0.01


def test_keypoint_error_is_relative_to_the_middle_knuckle(hand: tuple[Mesh, np.ndarray]) -> None:
    mesh, keypoints = hand
    moved = keypoints.copy()
    moved[9] += (0.0, 0.0, 0.021)
    measured = measure_hand("right", mesh, keypoints, mesh, moved, 1)
    assert measured.mpjpe_mm == pytest.approx(20.0, abs=1e-6)


def test_penetration_of_two_balls() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.05)
    left = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
    apart = 0.06
    right = Mesh(left.vertices + np.array([apart, 0, 0]), left.faces)
    height = 0.05 - apart / 2
    lens = 2 * np.pi * height**2 * (3 * 0.05 - height) / 3
    assert penetration_ml(left, right, 1) == pytest.approx(lens * 1e6, rel=0.03)
    assert penetration_ml(left, Mesh(left.vertices + np.array([0.2, 0, 0]), left.faces), 1) == 0.0


def test_gap_error() -> None:
    true = {"left": np.zeros((21, 3)), "right": np.ones((21, 3))}
    seen = {"left": np.full((21, 3), 5.0), "right": np.full((21, 3), 6.0) + np.array([0.003, 0.004, 0.0])}
    assert gap_error_mm(true, seen) == pytest.approx(5.0)  # type: ignore[arg-type]


def test_a_true_hand_kept_for_many_comparisons_says_the_same_every_time(hand: tuple[Mesh, np.ndarray]) -> None:
    """Results do not depend on earlier comparisons, and equal those of the direct computation in ``plain``."""
    mesh, keypoints = hand
    true = TrueHand("right", mesh, keypoints, 4)
    swollen = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    others = [Mesh(mesh.vertices + offset * swollen.vertex_normals, mesh.faces) for offset in (0.001, -0.0005)]
    kept = [true.measure(other, keypoints) for other in (*others, *others)]
    assert kept[:2] == kept[2:] == [measure_hand("right", mesh, keypoints, other, keypoints, 4) for other in others]
    assert [plain(mesh, keypoints, other, 4) for other in others] == [(m.iou, m.chamfer_mm) for m in kept[:2]]


def plain(truth: Mesh, keypoints: np.ndarray, found: Mesh, seed: int) -> tuple[float, float]:
    """IoU and Chamfer distance of a right hand, computed directly: every point is tested, in the order of drawing."""
    bones = bones_from_keypoints(torch.from_numpy(keypoints)[None], ["right"])
    own, other = (
        (bones.to_query_space(torch.from_numpy(mesh.vertices)[None])[0] * QUERY_SCALE).numpy()
        for mesh in (truth, found)
    )
    faces, rng = np.asarray(truth.faces, np.int64), np.random.default_rng(seed)
    kept = np.concatenate([vertices[vertices[:, 0] < CUT_M] for vertices in (own, other)])
    low, high = kept.min(0) - 0.005, kept.max(0) + 0.005
    high[0] = min(high[0], CUT_M)
    points = rng.uniform(low, high, size=(IOU_POINTS, 3))
    a, b = inside(points, own, faces), inside(points, other, faces)

    def surface(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = vertices[faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(across, axis=1) * (corners[..., 0].min(axis=1) < CUT_M)
        chosen = rng.choice(len(area), size=SURFACE_POINTS, p=area / area.sum())
        on = (corners[chosen] * rng.dirichlet((1.0, 1.0, 1.0), size=SURFACE_POINTS)[..., None]).sum(axis=1)
        unit = across / np.linalg.norm(across, axis=1, keepdims=True)
        return on[on[:, 0] < CUT_M], unit[chosen][on[:, 0] < CUT_M]

    true_points, normals = surface(own)
    true_points = true_points[~inside(true_points + 0.0003 * normals, own, faces)]
    found_points, _ = surface(other)
    way = np.abs(signed_distance(found_points, own, faces)[0]).mean()
    back = np.abs(signed_distance(true_points, other, faces)[0]).mean()
    return float((a & b).sum() / (a | b).sum()), float((way + back) / 2) * 1000
