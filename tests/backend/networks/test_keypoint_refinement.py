"""The keypoint refinement network: parity with the published network, frames, and invariants."""

from __future__ import annotations

import pytest
import torch

from golden import fill, image_tensor, load, state_table, worst
from im2hands.core.hands import FILE_TO_HALO
from im2hands.networks.keypoint_refinement import (
    HALO_MIDDLE_MCP,
    KeypointRefinement,
    keypoint_error,
    keypoint_loss,
    place_keypoints,
    prepare_keypoints,
)

SIDES = ("left", "right")
MILLIMETRES = 1e-4
FEATURES = 2e-5


@pytest.fixture(scope="module")
def golden():
    return load("kpts_ref")


@pytest.fixture(scope="module")
def network() -> KeypointRefinement:
    network = KeypointRefinement().eval()
    fill(network)
    return network


@pytest.fixture(scope="module")
def camera(golden):
    return torch.from_numpy(golden["cam_R"])[None], torch.from_numpy(golden["cam_T"])[None]


@pytest.fixture(scope="module")
def wrists(golden):
    mirror = torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    return both(golden, "root_xyz") * mirror


@pytest.fixture(scope="module")
def prepared(golden, camera, wrists):
    return prepare_keypoints(both(golden, "pred_joints_file"), wrists, *camera)


@pytest.fixture(scope="module")
def image(golden, network):
    with torch.no_grad():
        return network.image_features(network.image_encoder(image_tensor(golden["image_rgb_u8"])))


@pytest.fixture(scope="module")
def refined(network, prepared, image):
    with torch.no_grad():
        return network.refine(prepared.relative, image)


def both(golden, name: str) -> torch.Tensor:
    """The arrays of both hands, (1, 2, ...)."""
    return torch.stack([torch.from_numpy(golden[f"{side}_{name}"]) for side in SIDES])[None]


def test_names_and_shapes_are_the_published_ones(network):
    table = state_table("kpts_ref")
    assert len(table) == 882
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == table


@pytest.mark.parity
def test_input_preparation(golden, camera, wrists, prepared):
    truth = prepare_keypoints(both(golden, "gt_joints_file"), wrists, *camera)
    for hand, side in enumerate(SIDES):
        assert worst(prepared.relative[0, hand], golden[f"{side}_in_mm"]) <= MILLIMETRES
        assert worst(truth.relative[0, hand], golden[f"{side}_gt_mm"]) <= MILLIMETRES
    assert worst(prepared.middle, golden["left_mid_cam"]) <= 1e-7


@pytest.mark.parity
def test_image_and_first_features(golden, network, prepared, image):
    assert worst(image[0, :, ::8, ::8], golden["img_proj_sub"]) <= FEATURES
    with torch.no_grad():
        left = network.embed(prepared.relative)[0]
    assert worst(left[0], golden["layer0_left_input"]) <= FEATURES


@pytest.mark.parity
@pytest.mark.parametrize("layer", range(4))
def test_layers(golden, refined, layer):
    result = refined[1][layer]
    assert worst(result.graph[0][0], golden[f"layer{layer}_graph_left"]) <= FEATURES
    assert worst(result.tokens[0][0, ::8], golden[f"layer{layer}_grid_left"]) <= FEATURES
    for hand, side in enumerate(SIDES):
        assert worst(result.features[hand][0], golden[f"layer{layer}_{side}"]) <= FEATURES


@pytest.mark.parity
def test_output_and_the_published_file(golden, camera, wrists, prepared, refined):
    output = refined[0]
    file = place_keypoints(output, prepared, *camera, published_wrists=wrists)
    for hand, side in enumerate(SIDES):
        assert worst(output[0, hand], golden[f"{side}_out_mm"]) <= MILLIMETRES
        assert worst(file[0, hand], golden[f"{side}_file_out"]) <= 1e-7


@pytest.mark.parity
def test_loss_and_errors(golden, camera, wrists, prepared, refined):
    truth = prepare_keypoints(both(golden, "gt_joints_file"), wrists, *camera).relative
    assert float(keypoint_loss(refined[0], truth)) == pytest.approx(golden["loss"][0], rel=1e-6)
    assert worst(keypoint_error(refined[0], truth)[None], golden["jpe_mm"]) <= MILLIMETRES
    assert worst(keypoint_error(prepared.relative, truth)[None], golden["in_jpe_mm"]) <= MILLIMETRES


def test_every_array_is_compared(golden):
    layers = {f"layer{i}_{part}" for i in range(4) for part in ("left", "right", "graph_left", "grid_left")}
    hands = {
        f"{side}_{part}"
        for side in SIDES
        for part in ("pred_joints_file", "gt_joints_file", "in_mm", "gt_mm", "out_mm", "file_out", "root_xyz")
    }
    frame = {"image_rgb_u8", "cam_R", "cam_T", "cam_K", "left_mid_cam", "img_proj_sub", "layer0_left_input"}
    assert set(golden) == layers | hands | frame | {"loss", "jpe_mm", "in_jpe_mm"}


def test_a_perfect_output_comes_back_where_it_was(golden, camera, wrists, prepared):
    """The loss ignores the position of each hand, so the placing must not depend on it either."""
    moved = prepared.relative + torch.tensor([[[[30.0, -20.0, 500.0]], [[-70.0, 10.0, 40.0]]]], dtype=torch.float64)
    placed = place_keypoints(moved, prepared, *camera)
    keypoints = both(golden, "pred_joints_file")
    expected = keypoints - keypoints[:, :, :1] + wrists.double()[:, :, None]
    assert (placed - expected).abs().max() < 1e-6


def test_published_file_is_in_halo_order_and_wrist_relative_shape_is_right(camera, wrists, prepared):
    right = place_keypoints(prepared.relative, prepared, *camera)
    file = place_keypoints(prepared.relative, prepared, *camera, published_wrists=wrists)
    right = right[:, :, list(FILE_TO_HALO)]
    assert ((right - right[:, :, :1]) - (file - file[:, :, :1])).abs().max() < 1e-6
    assert ((right - file).abs() > 1e-3).any()


def test_batch_equals_singles(network, prepared, image, refined):
    other = prepared.relative + torch.linspace(-5, 5, 126, dtype=torch.float64).reshape(1, 2, 21, 3)
    with torch.no_grad():
        together = network.refine(torch.cat([prepared.relative, other]), image.expand(2, -1, -1, -1))[0]
        alone = network.refine(other, image)[0]
    assert torch.allclose(together, torch.cat([refined[0], alone]), atol=1e-4)


def test_loss_is_blind_to_where_a_hand_is():
    generator = torch.Generator().manual_seed(0)
    output, target = (torch.randn(3, 2, 21, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    shift = torch.randn(3, 2, 1, 3, generator=generator, dtype=torch.float64)
    assert torch.allclose(keypoint_loss(output + shift, target), keypoint_loss(output, target))
    assert torch.allclose(keypoint_error(target + shift, target), torch.zeros((), dtype=torch.float64), atol=1e-12)
    assert keypoint_loss(output, target) > 0 and HALO_MIDDLE_MCP == 4


def test_keypoints_of_one_hand_are_refused(camera):
    with pytest.raises(ValueError, match="21, 3"):
        prepare_keypoints(torch.zeros(1, 21, 3), torch.zeros(1, 2, 3), *camera)
