"""Bones: parity with the published converter, invariances, mirroring, gradients."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.geometry.bones import QUERY_SCALE, THICKNESS_COUNT, bones_from_keypoints, even_thickness
from im2hands.geometry.rotations import rodrigues
from im2hands.lab.datasets.part_occupancy import posed_hands

GOLDEN = Path(os.environ.get("IM2HANDS_GOLDEN_DIR", Path(__file__).parents[2] / "golden"))

# The straight hands, where the sign of a rounding error decides the sign of a residual angle of 1.4e-3 rad.
STRAIGHT = (16, 19)
LOOSE = {"local_cs", "local_coords", "rot_angles", "rot_mat", "trans_rot", "trans_mat_biomech"}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "converter.npz") as data:
        return {name: data[name] for name in data.files}


@pytest.fixture(scope="module")
def computed(golden) -> dict[str, np.ndarray]:
    bones = bones_from_keypoints(torch.from_numpy(golden["joints"]), list(golden["side"]), keep_steps=True)
    rotation = np.tile(np.eye(4), (20, 1, 1))
    rotation[:, :3, :3] = bones.rotation.numpy()
    arrays = {"unpose_mat": bones.transforms, "bone_lengths": bones.lengths, **bones.steps}
    return {**{name: value.numpy() for name, value in arrays.items()}, "root_rot_mat": rotation}


@pytest.mark.parametrize(
    "name",
    ["unpose_mat", "bone_lengths", "root_rot_mat", "kp_canonical_biomech", "glo_rot", "kp_swapped_biomech",
     "bones_biomech", "bone_len_biomech", "root_plane_mat", "root_angle_mat", "bones_norm", "local_cs", "local_coords",
     "rot_angles", "rot_mat", "trans_rot", "trans_mat_biomech"],
)  # fmt: skip
def test_parity_with_the_published_converter(golden, computed, name):
    tolerance = 5e-5 if name == "unpose_mat" else 1e-4 if name in LOOSE else 1e-6
    error = np.abs(computed[name] - golden[name]).reshape(20, -1).max(axis=1)
    for case in range(20):
        assert error[case] <= (3e-3 if case in STRAIGHT else tolerance), f"case {case}"


def _hands(count: int = 4, seed: int = 3) -> torch.Tensor:
    return posed_hands(count, seed).keypoints


@settings(max_examples=25, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    angle=st.floats(-3.1, 3.1),
    shift=st.tuples(*[st.floats(-5, 5)] * 3),
)
def test_bones_do_not_depend_on_where_the_hand_is(axis, angle, shift):
    keypoints = _hands()
    unit = torch.tensor(axis, dtype=torch.float64) / np.linalg.norm(axis)
    turn = rodrigues(torch.tensor(angle, dtype=torch.float64), unit)
    moved = keypoints @ turn.T + torch.tensor(shift, dtype=torch.float64)
    here, there = bones_from_keypoints(keypoints, ["right"] * 4), bones_from_keypoints(moved, ["right"] * 4)
    assert torch.allclose(here.transforms, there.transforms, atol=1e-6)
    assert torch.allclose(here.lengths, there.lengths, atol=1e-9)
    assert torch.allclose(here.rotation @ turn.T, there.rotation, atol=1e-7)


def test_a_left_hand_is_the_mirror_image_of_a_right_hand():
    keypoints = _hands()
    mirrored = keypoints * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    right, left = bones_from_keypoints(keypoints, ["right"] * 4), bones_from_keypoints(mirrored, ["left"] * 4)
    assert torch.allclose(right.transforms, left.transforms, atol=1e-12)
    # The same points taken for the other side give another hand.
    assert not torch.allclose(right.transforms, bones_from_keypoints(mirrored, ["right"] * 4).transforms, atol=1e-2)


@pytest.mark.parametrize("side", ["left", "right"])
def test_query_space_and_back(side):
    keypoints = _hands() + torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
    bones = bones_from_keypoints(keypoints, [side] * 4)
    query = bones.to_query_space(keypoints)
    assert torch.allclose(bones.from_query_space(query), keypoints, atol=1e-12)
    assert query[:, 0].abs().max() < 1e-12  # the wrist is the origin
    middle = query[:, 9] * QUERY_SCALE
    assert torch.allclose(middle, torch.stack([-bones.lengths[:, 0], *[torch.zeros(4)] * 2], dim=1).double(), atol=1e-9)


def test_batches_give_what_single_hands_give():
    keypoints = _hands(3)  # a batch of three, for which the published converter is wrong
    sides = ["left", "right", "left"]
    together = bones_from_keypoints(keypoints, sides)
    for k, side in enumerate(sides):
        alone = bones_from_keypoints(keypoints[k : k + 1], [side])
        assert torch.allclose(together.transforms[k], alone.transforms[0], atol=1e-12)


def test_bone_transforms_are_differentiable():
    keypoints = _hands(2).requires_grad_()

    def projected(points: torch.Tensor) -> torch.Tensor:
        return bones_from_keypoints(points, ["right", "left"]).transforms.sum(dim=(0, 1))

    assert torch.autograd.gradcheck(projected, (keypoints,), eps=1e-7, atol=1e-4)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        bones_from_keypoints(torch.zeros(2, 20, 3), ["left", "right"])


def test_an_even_thickness_widens_the_palm_by_less():
    thickness = even_thickness(torch.tensor([1.2, 0.9], dtype=torch.float64))
    assert thickness.shape == (2, THICKNESS_COUNT)
    assert torch.equal(thickness[:, :16], torch.tensor([[1.2], [0.9]], dtype=torch.float64).expand(-1, 16))
    assert 1 < thickness[0, 16] < 1.1 and 0.9 < thickness[1, 16] < 1
