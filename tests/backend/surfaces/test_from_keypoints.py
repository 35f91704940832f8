"""Reconstruction from keypoints: meshes in the camera frame, left and right hands, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError, WeightsError
from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.surfaces.load import load_reconstructor
from im2hands.surfaces.occupancy_field import PartField

CPU = torch.device("cpu")
CAMERA = Camera.from_fov(50, 640, 480)


@pytest.fixture(scope="module")
def reconstructor():
    return load_reconstructor("bundled", device=CPU, voxel_m=0.003, stage="keypoints")


def _hand(side: str, positions: np.ndarray) -> HandKeypoints:
    return HandKeypoints(side, positions, np.zeros((21, 2)), np.ones(21), 1.0, "test")


@pytest.fixture(scope="module")
def two_hands() -> TwoHands:
    keypoints = posed_hands(2, 17).keypoints.numpy()
    left = keypoints[0] * (-1, 1, 1) + (-0.1, 0.05, 0.6)
    return TwoHands(_hand("left", left), _hand("right", keypoints[1] + (0.1, 0.0, 0.7)))


def test_meshes_hold_their_keypoints(reconstructor, two_hands):
    meshes = reconstructor.reconstruct(None, CAMERA, two_hands)
    assert set(meshes) == {"left", "right"}
    for side, hand in meshes.items():
        mesh = trimesh.Trimesh(hand.vertices, hand.faces, process=False)
        assert mesh.is_watertight and mesh.volume > 5e-5  # positive: outward for the mirrored hand too
        assert hand.vertices.dtype == np.float32 and hand.faces.dtype == np.int32
        assert hand.bone_lengths.shape == (16,) and (hand.bone_lengths > 0.005).all()
        joints = two_hands.get(side).positions[[1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]]
        assert mesh.contains(joints).mean() > 0.9


def test_a_left_hand_is_the_mirror_image(reconstructor):
    keypoints = posed_hands(1, 18).keypoints.numpy()[0] + (0.0, 0.0, 0.5)
    mirrored = keypoints * (-1, 1, 1)
    right = reconstructor.reconstruct(None, CAMERA, TwoHands(right=_hand("right", keypoints)))["right"]
    left = reconstructor.reconstruct(None, CAMERA, TwoHands(left=_hand("left", mirrored)))["left"]
    assert np.allclose(left.vertices, right.vertices * (-1, 1, 1), atol=1e-6)
    assert np.array_equal(left.faces, right.faces[:, ::-1])


def test_a_thick_hand_is_thick_across_its_bones_and_no_longer(reconstructor):
    keypoints = posed_hands(1, 19).keypoints.numpy()[0] + (0.0, 0.0, 0.5)
    thin, usual, thick = (
        reconstructor.reconstruct(None, CAMERA, TwoHands(right=replace(_hand("right", keypoints), thickness=factor)))[
            "right"
        ]
        for factor in (0.85, 1.0, 1.2)
    )
    sizes = [trimesh.Trimesh(mesh.vertices, mesh.faces, process=False) for mesh in (thin, usual, thick)]
    assert all(mesh.is_watertight and mesh.body_count == 1 for mesh in sizes)
    assert sizes[0].volume < 0.85 * sizes[1].volume and sizes[2].volume > 1.2 * sizes[1].volume
    tips = [np.linalg.norm(keypoints[tip] - keypoints[0]) for tip in (4, 8, 12, 16, 20)]
    reach = [np.linalg.norm(mesh.vertices - keypoints[0], axis=1).max() for mesh in (usual, thick)]
    assert abs(reach[1] - reach[0]) < 0.02 * max(tips)
    assert np.array_equal(thick.bone_lengths, usual.bone_lengths)


def test_the_mesh_follows_the_hand(reconstructor):
    keypoints = posed_hands(1, 19).keypoints.numpy()[0]
    here = reconstructor.reconstruct(None, CAMERA, TwoHands(right=_hand("right", keypoints)))["right"]
    there = reconstructor.reconstruct(
        None, CAMERA, TwoHands(right=_hand("right", keypoints + np.array([0.2, -0.1, 0.8])))
    )["right"]
    assert np.allclose(here.vertices + np.float32([0.2, -0.1, 0.8]), there.vertices, atol=1e-5)


def test_the_same_input_gives_the_same_bytes(reconstructor, two_hands):
    one, two = (reconstructor.reconstruct(None, CAMERA, two_hands) for _ in range(2))
    assert all(one[side].vertices.tobytes() == two[side].vertices.tobytes() for side in one)


def test_no_hands_no_meshes(reconstructor):
    assert reconstructor.reconstruct(None, CAMERA, TwoHands()) == {}


def test_keypoints_that_make_no_hand(reconstructor):
    with pytest.raises(FrameError):
        reconstructor.reconstruct(None, CAMERA, TwoHands(right=_hand("right", np.full((21, 3), np.nan))))


def test_a_network_that_gives_no_numbers_fails_the_frame(reconstructor, two_hands, monkeypatch):
    monkeypatch.setattr(PartField, "logits", lambda self, hands, points: torch.full((len(points),), torch.nan))
    with pytest.raises(FrameError):
        reconstructor.reconstruct(None, CAMERA, two_hands)


def test_impossible_requests(tmp_path):
    with pytest.raises(InputError, match="voxel"):
        load_reconstructor("bundled", device=CPU, voxel_m=0.0)
    with pytest.raises(WeightsError, match="refinement"):
        load_reconstructor(tmp_path, device=CPU, voxel_m=0.003, stage="refined")
