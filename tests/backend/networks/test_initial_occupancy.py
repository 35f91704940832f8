"""The initial occupancy network: published state_dict, parity, batching, chunks and depth references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import fill, image_tensor, load, state_table, worst
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import Bones, bones_from_keypoints
from im2hands.networks import initial_hand
from im2hands.networks.initial_hand import Extrinsics, InitialHand
from im2hands.networks.initial_occupancy import ImageFeatures, InitialOccupancy

LOGITS, OCCUPANCY, MAPS, LOCAL, CODE = 2e-5, 2e-6, 2e-5, 5e-7, 1e-6


@pytest.fixture(scope="module")
def golden():
    return load("init_occ")


@pytest.fixture(scope="module")
def network() -> InitialOccupancy:
    filled = InitialOccupancy().eval()
    fill(filled)
    return filled.requires_grad_(False)


@pytest.fixture(scope="module")
def features(network, golden) -> ImageFeatures:
    return network.encode(image_tensor(golden["image_rgb_u8"]))


@pytest.fixture(scope="module")
def camera(golden) -> Extrinsics:
    return Extrinsics(*(torch.from_numpy(golden[name])[None] for name in ("cam_R", "cam_T")))


def golden_bones(golden: dict[str, np.ndarray], side: Side) -> Bones:
    """The bones in the golden file."""
    transforms, lengths, rotation, wrist = (
        torch.from_numpy(golden[f"{side}_{name}"]).double()[None]
        for name in ("inputs", "bone_lengths", "root_rot_mat", "root_xyz")
    )
    mirror = torch.tensor([[-1.0 if side == "left" else 1.0, 1.0, 1.0]], dtype=torch.float64)
    return Bones(transforms, lengths, rotation[:, :3, :3], wrist, mirror)


@pytest.fixture(scope="module")
def hands(network, features, camera, golden) -> dict[Side, InitialHand]:
    return {side: network.hand(side, features, golden_bones(golden, side), camera) for side in SIDES}


def golden_points(golden: dict[str, np.ndarray], side: Side) -> torch.Tensor:
    return torch.from_numpy(golden[f"{side}_points"])[None]


def test_names_and_shapes_are_the_published_ones(network):
    table = state_table("init_occ")
    assert len(table) == 848
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == table
    assert sum(parameter.numel() for parameter in network.parameters()) == 28_043_162


def test_loading_is_strict_and_names_the_published_names(network):
    state = network.state_dict()
    fresh = InitialOccupancy()
    fresh.load_state_dict(state)
    again = fresh.state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())
    del state["left_decoder.lin7_1.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*left_decoder\.lin7_1\.bias"):
        fresh.load_state_dict(state)
    assert fresh.load_state_dict(state, strict=False).missing_keys == ["left_decoder.lin7_1.bias"]
    state["left_decoder.lin7_1.bias"] = torch.zeros(63)
    with pytest.raises(RuntimeError, match=r"left_decoder\.lin7_1\.bias has shape \(63,\)"):
        fresh.load_state_dict(state)
    state["left_decoder.lin7_1.bias"] = torch.zeros(64)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*left_decoder\.lin16_0\.bias"):
        fresh.load_state_dict({**state, "left_decoder.lin16_0.bias": torch.zeros(64)})


@pytest.mark.parity
def test_feature_map_and_tokens(golden, features):
    assert worst(features.feature_map[0], golden["img_feat"]) <= MAPS
    for side in SIDES:
        assert worst(getattr(features, side).tokens[0], golden[f"{side}_grid_feat"]) <= MAPS


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_steps(golden, hands, network, side):
    hand, points = hands[side], golden_points(golden, side)
    seen = hand.point_features(points, "first query")
    assert worst(seen[0], golden[f"{side}_pt_feat"]) <= MAPS
    assert worst(hand.image_features(seen)[0], golden[f"{side}_local_img_feat"]) <= MAPS
    assert worst(hand.bone_local(points)[0], golden[f"{side}_bone_local_xyz"]) <= LOCAL
    decoder = network.side(side).decoder
    code = decoder.code_2(torch.relu(decoder.code_1(torch.from_numpy(golden[f"{side}_bone_lengths"]))))
    assert worst(code, golden[f"{side}_bone_latent"]) <= CODE


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("start", ["inputs", "joints"])
def test_logits_and_occupancy(golden, hands, network, features, camera, side, start):
    hand, points = hands[side], golden_points(golden, side)
    if start == "joints":
        bones = bones_from_keypoints(torch.from_numpy(golden[f"{side}_joints"])[None], [side])
        assert worst(bones.wrist[0], golden[f"{side}_root_xyz"]) <= 1e-7
        assert worst(bones.transforms[0], golden[f"{side}_inputs"]) <= 5e-5
        assert worst(bones.lengths[0], golden[f"{side}_bone_lengths"]) <= 1e-6
        assert worst(bones.rotation[0], golden[f"{side}_root_rot_mat"][:3, :3]) <= 1e-6
        hand = network.hand(side, features, bones, camera)
    assert worst(hand.part_logits(points, "first query")[0], golden[f"{side}_part_logits"]) <= LOGITS
    assert worst(hand.occupancy(points, "first query")[0], golden[f"{side}_occ"]) <= OCCUPANCY


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_published_quirks(golden, hands, side):
    extra = load("init_occ_extra")
    found = hands[side].occupancy(golden_points(golden, side).flip(1), "first query")
    assert worst(found[0], extra[f"{side}_occ_reversed_queries"]) <= OCCUPANCY
    other: Side = "left" if side == "right" else "right"
    at_other = hands[side].occupancy_at_other(
        hands[other], golden_points(golden, other), "first query", compatibility=True
    )
    assert worst(at_other[0], extra[f"{side}_occ_pen"]) <= OCCUPANCY
    assert set(extra) == {f"{s}_{name}" for s in SIDES for name in ("occ_reversed_queries", "occ_pen")}


def test_the_wrist_as_reference_does_not_depend_on_grouping(golden, hands, monkeypatch):
    hand, points = hands["left"], golden_points(golden, "left")
    whole = hand.occupancy(points)
    assert torch.allclose(hand.occupancy(points.flip(1)).flip(1), whole, atol=1e-6)
    wrist_depth = hand.camera_points(torch.zeros(1, 1, 3))[:, 0, 2]
    assert torch.allclose(hand.occupancy(points, wrist_depth), whole, atol=1e-6)
    assert (hand.occupancy(points, "first query") - whole).abs().max() > 1e-5
    compatible = hand.occupancy(points, "first query")
    monkeypatch.setattr(initial_hand, "CHUNK", 100)
    with torch.no_grad():
        assert torch.allclose(hand.occupancy(points), whole, atol=1e-6)
        assert torch.allclose(hand.occupancy(points, "first query"), compatible, atol=1e-6)


def test_no_queries(hands):
    for reference in ("wrist", "first query"):
        assert hands["left"].occupancy(torch.zeros(1, 0, 3), reference).shape == (1, 0)


def test_the_other_hand_is_asked_where_the_points_are(golden, hands):
    left, right = hands["left"], hands["right"]
    points = golden_points(golden, "right")
    own = left.bones.to_query_space(right.bones.from_query_space(points)).float()
    assert torch.allclose(left.camera_points(own), right.camera_points(points), atol=1e-6)
    assert torch.allclose(left.occupancy_at_other(right, points), left.occupancy(own), atol=1e-6)


def test_a_batch_is_its_hands_one_by_one_and_trains(network, golden, camera, features):
    bones = {side: golden_bones(golden, side) for side in SIDES}
    # Both hands as a batch of two, evaluated with the weights of the right side.
    both = Bones(
        *(torch.cat([getattr(bones[s], name) for s in SIDES]) for name in ("transforms", "lengths", "rotation")),
        *(torch.cat([getattr(bones[s], name) for s in SIDES]) for name in ("wrist", "mirror")),
    )
    points = torch.cat([golden_points(golden, side)[:, :50] for side in SIDES])
    image = torch.cat([image_tensor(golden["image_rgb_u8"])] * 2)
    wide = Extrinsics(*(torch.cat([value] * 2) for value in camera))
    batched = network(image, {"right": (both, points)}, wide)["right"]
    for row, side in enumerate(SIDES):
        alone = network.hand("right", features, bones[side], camera).occupancy(points[row : row + 1])
        assert torch.allclose(batched[row], alone[0], atol=1e-5)

    decoder = network.side("right").decoder.requires_grad_(True)
    network.hand("right", features, bones["right"], camera).occupancy(points[:1]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in decoder.parameters())
    decoder.requires_grad_(False)


def test_without_a_camera_the_bones_are_in_the_camera_frame(network, features, golden, camera):
    world = torch.from_numpy(golden["right_joints"])[None]
    seen = world @ camera.rotation.double().mT + camera.translation.double()[:, None]
    points = golden_points(golden, "right")
    in_world = network.hand("right", features, bones_from_keypoints(world, ["right"]), camera)
    in_camera = network.hand("right", features, bones_from_keypoints(seen, ["right"]))
    assert torch.allclose(in_world.occupancy(points), in_camera.occupancy(points), atol=1e-5)


def test_every_array_is_compared(golden):
    scene = {"image_rgb_u8", "cam_R", "cam_T", "cam_K", "img_feat"}  # this network does not use cam_K
    given = {"joints", "inputs", "bone_lengths", "root_rot_mat", "root_xyz", "points"}
    steps = {"grid_feat", "pt_feat", "local_img_feat", "bone_latent", "bone_local_xyz", "part_logits", "occ"}
    assert set(golden) == scene | {f"{side}_{name}" for side in SIDES for name in given | steps}
