"""The refinement network, with its nested initial network: parity with the published network, and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import fill, image_tensor, load, state_table, worst
from im2hands.core.hands import SIDES
from im2hands.geometry.bones import Bones
from im2hands.networks.refined_hands import RefinedHands
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.two_hand_picture import PictureFeatures, View
from lattice_surface import extract
from mise import Mise, lattice_positions

FEATURES = 5e-5
OCCUPANCY = 1e-5
MESH_VALUES, MESH_VERTICES, MESH_EXPORTED = 5e-6, 1e-9, 1e-7
MIRROR = {"left": (-1.0, 1.0, 1.0), "right": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def golden():
    return load("ref_occ")


@pytest.fixture(scope="module")
def network() -> RefinedOccupancy:
    network = RefinedOccupancy(compatibility=True).eval()
    fill(network)
    return network


@pytest.fixture(scope="module")
def view(golden) -> View:
    return View(*(torch.from_numpy(golden[f"cam_{name}"])[None] for name in "RTK"))


@pytest.fixture(scope="module")
def picture(golden, network) -> PictureFeatures:
    with torch.no_grad():
        return network.encode(image_tensor(golden["image_rgb_u8"]))


@pytest.fixture(scope="module")
def bones(golden) -> dict[str, Bones]:
    """The bones that the published network was given."""
    result = {}
    for side in SIDES:
        transforms, lengths, rotation, wrist = (
            torch.from_numpy(golden[f"{side}_{name}"]).double()[None]
            for name in ("inputs", "bone_lengths", "root_rot_mat", "root_xyz")
        )
        result[side] = Bones(
            transforms, lengths, rotation[:, :3, :3], wrist, torch.tensor([MIRROR[side]], dtype=torch.float64)
        )
    return result


@pytest.fixture(scope="module")
def anchors(golden, bones) -> dict[str, torch.Tensor]:
    """Anchors in the world frame, metres; the golden ones are relative to the wrist, millimetres."""
    return {
        side: torch.from_numpy(golden[f"{side}_anchor_points_mm"])[None] / 1000
        + (bones[side].wrist * bones[side].mirror)[:, None]
        for side in SIDES
    }


@pytest.fixture(scope="module")
def points(golden) -> dict[str, torch.Tensor]:
    return {side: torch.from_numpy(golden[f"{side}_points"])[None] for side in SIDES}


@pytest.fixture(scope="module")
def hands(network, picture, bones, view, anchors) -> RefinedHands:
    with torch.no_grad():
        return network.hands(picture, bones, view, anchors)


def test_names_and_shapes_are_the_published_ones(network):
    table = state_table("ref_occ")
    assert len(table) == 1596
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == table


@pytest.mark.parity
def test_picture_features(golden, picture):
    feature_map = picture.feature_map[0]
    assert worst(picture.code[0], golden["img_global"]) <= FEATURES
    assert worst(feature_map[:, ::16, ::16], golden["img_feat_sub"]) <= FEATURES
    assert worst(feature_map.mean((1, 2)), golden["img_feat_mean"]) <= FEATURES
    assert worst(feature_map.std((1, 2)), golden["img_feat_std"]) <= FEATURES


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_sampling_and_centring(golden, hands, points, side):
    query, anchors = hands.query(side, points[side]), hands.anchors[side]
    for name, sampled in (("query", query), ("anchor", anchors)):
        assert worst(sampled.features[0], golden[f"{side}_{name}_img_feat"]) <= FEATURES
        assert worst(sampled.positions[0], golden[f"{side}_{name}_cam_flipped"]) <= 1e-6
        assert worst(hands.centred(sampled)[0], golden[f"{side}_{name}_xyz_centred"]) <= 1e-6


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_anchors_and_codes(golden, hands, side):
    hand, encoded = SIDES.index(side), hands.encoded
    for level, count in enumerate((256, 128)):
        assert np.array_equal(encoded.picked[level][hand], golden[f"{side}_fps{count}"])
    assert worst(encoded.begin[hand, ::16], golden[f"{side}_enc_begin"]) <= FEATURES
    assert worst(encoded.levels[0][hand, ::16], golden[f"{side}_td0_feats"]) <= FEATURES
    assert worst(encoded.levels[1][hand, ::8], golden[f"{side}_td1_feats"]) <= FEATURES
    assert worst(encoded.positions[hand], golden[f"{side}_anchors128_xyz"]) <= 1e-6
    assert worst(encoded.features[hand], golden[f"{side}_anchors128_feat"]) <= FEATURES
    assert worst(encoded.code[hand], golden[f"{side}_z"]) <= FEATURES
    assert worst(hands.context[hand], golden[f"{side}_z_context"]) <= FEATURES


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
@torch.no_grad()
def test_occupancy(golden, hands, points, side):
    initial = hands.initial_occupancy(side, points[side], "first query")
    assert worst(initial[0], golden[f"{side}_init_occ"]) <= 2e-6
    assert worst(hands.logits(side, points[side], initial)[0], golden[f"{side}_logit"]) <= FEATURES
    assert worst(hands.occupancy(side, points[side], "first query")[0], golden[f"{side}_occ"]) <= OCCUPANCY
    hand = SIDES.index(side)
    attended = hands.folded()[hand : hand + 1].attend(hands.centred(hands.query(side, points[side])))
    assert worst(attended[0], golden[f"{side}_ct1"]) <= FEATURES


@pytest.mark.parity
@pytest.mark.parametrize(("side", "other"), [SIDES, SIDES[::-1]])
@torch.no_grad()
def test_penetration_branch(hands, points, side, other):
    golden = load("ref_occ_pen")
    assert worst(hands.occupancy(side, points[side], "first query")[0], golden[f"{side}_occ"]) <= OCCUPANCY
    found = hands.occupancy_at_other(side, points[other], "first query", compatibility=True)
    assert worst(found[0], golden[f"{side}_occ_pen"]) <= OCCUPANCY


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
@torch.no_grad()
def test_refined_stage_meshes(hands, bones, side):
    mesh = load("mesh_ref_occ")
    threshold = float(mesh["threshold"][0])
    mise = Mise(int(mesh["resolution0"][0]), int(mesh["upsampling_steps"][0]), threshold)
    counts = mesh["counts"][:, SIDES.index(side)]
    start = 0
    for count in counts[counts > 0]:
        rows = slice(start, start + count)
        asked = lattice_positions(mise.unknown, mise.resolution)
        assert np.array_equal(asked, mesh[f"{side}_points"][rows])
        values = hands.occupancy(side, torch.from_numpy(asked)[None], "first query")[0]
        assert worst(values, mesh[f"{side}_values"][rows]) <= MESH_VALUES
        # Continue with the recorded values: a difference in the last bit may change whether a cell is split.
        mise.update(mesh[f"{side}_values"][rows])
        start += count
    assert start == len(mesh[f"{side}_points"]) and not len(mise.unknown)
    grid = mise.dense()
    assert np.array_equal(grid, mesh[f"{side}_grid"])
    surface = extract(grid, threshold)
    assert worst(surface.vertices, mesh[f"{side}_vertices"]) <= MESH_VERTICES
    assert np.array_equal(surface.faces, mesh[f"{side}_faces"])
    assert worst(surface.in_world(bones[side]).vertices, mesh[f"{side}_vertices_exported"]) <= MESH_EXPORTED
    compared = ("points", "values", "grid", "vertices", "faces", "vertices_exported")
    assert set(mesh) == {"threshold", "resolution0", "upsampling_steps", "counts"} | {
        f"{s}_{name}" for s in SIDES for name in compared
    }


def test_every_array_is_compared(golden):
    given = ("root_xyz", "joints", "inputs", "bone_lengths", "root_rot_mat", "points", "anchor_points_mm")
    compared = (
        "query_img_feat", "query_cam_flipped", "query_xyz_centred", "anchor_img_feat", "anchor_cam_flipped",
        "anchor_xyz_centred", "init_occ", "fps256", "fps128", "enc_begin", "td0_feats", "td1_feats", "anchors128_xyz",
        "anchors128_feat", "z_context", "z", "ct1", "logit", "occ",
    )  # fmt: skip
    frame = {"image_rgb_u8", "cam_R", "cam_T", "cam_K", "img_global", "img_feat_sub", "img_feat_mean", "img_feat_std"}
    assert set(golden) == frame | {f"{side}_{name}" for side in SIDES for name in given + compared}
    assert set(load("ref_occ_pen")) == {f"{side}_{name}" for side in SIDES for name in ("occ", "occ_pen")}


@torch.no_grad()
def test_by_default_the_order_and_grouping_of_points_do_not_matter(hands, points):
    whole = hands.occupancy("left", points["left"])
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(hands.occupancy("left", points["left"][:, order]), whole[:, order], atol=1e-6)
    assert torch.allclose(hands.occupancy("left", points["left"][:, 100:130]), whole[:, 100:130], atol=1e-6)
    assert hands.occupancy("left", points["left"][:, :0]).shape == (1, 0)


@torch.no_grad()
def test_chunks_are_seamless(hands, points, monkeypatch):
    whole = hands.occupancy("right", points["right"])
    monkeypatch.setattr("im2hands.networks.refined_hands.CHUNK", 60)
    assert torch.allclose(hands.occupancy("right", points["right"]), whole, atol=1e-6)


@torch.no_grad()
def test_by_default_the_penetration_branch_asks_at_the_same_place(hands, bones, points):
    at_own = bones["right"].to_query_space(bones["left"].from_query_space(points["left"]))
    found = hands.occupancy_at_other("right", points["left"])
    assert torch.allclose(found, hands.occupancy("right", at_own), atol=1e-5)


@torch.no_grad()
def test_a_batch_equals_singles(network, picture, bones, view, anchors, points, hands):
    """The second picture of the batch shows the same hands, nearer to the camera."""
    nearer = View(view.rotation, view.translation - view.translation.new_tensor([0.02, 0.0, 0.1]), view.intrinsics)

    def doubled(value):
        return torch.cat([value, value])

    twice = {
        side: Bones(*(doubled(getattr(b, name)) for name in ("transforms", "lengths", "rotation", "wrist", "mirror")))
        for side, b in bones.items()
    }
    both_views = View(*(torch.cat(pair) for pair in zip(view, nearer, strict=True)))
    features = PictureFeatures(
        type(picture.initial)(*(_doubled(value) for value in picture.initial)),
        doubled(picture.feature_map),
        doubled(picture.code),
    )
    together = network.hands(features, twice, both_views, {side: doubled(a) for side, a in anchors.items()})
    alone = network.hands(picture, bones, nearer, anchors)
    for side in SIDES:
        found = together.occupancy(side, doubled(points[side]))
        assert torch.allclose(found[:1], hands.occupancy(side, points[side]), atol=1e-5)
        assert torch.allclose(found[1:], alone.occupancy(side, points[side]), atol=1e-5)
        assert not torch.allclose(found[:1], found[1:], atol=1e-3)


def _doubled(value):
    """A tensor, or a tuple of tensors at any depth, repeated along the batch."""
    return torch.cat([value, value]) if isinstance(value, torch.Tensor) else type(value)(*map(_doubled, value))


def test_the_nested_network_is_frozen(network):
    network.train()
    assert network.image_encoder.training and not network.init_occ.training
    assert not any(module.training for module in network.init_occ.modules())
    network.eval()


def test_gradients_reach_every_weight_in_use_but_not_the_nested_network(network, golden, bones, view, anchors, points):
    some = {side: (bones[side], points[side][:, :40]) for side in SIDES}
    found = network(image_tensor(golden["image_rgb_u8"]), some, view, anchors)
    (found["left"].sum() + found["right"].square().sum()).backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    network.zero_grad(set_to_none=True)
    own = {name for name in without if not name.startswith("init_occ.")}
    unused = {f"image_encoder.{part}" for part in ("resnet.fc", "hms_decoder.final_layer", "dp_decoder.final_layer")}
    expected = {f"{layer}.{leaf}" for layer in unused for leaf in ("weight", "bias")}
    # The last bias of gamma cancels in the softmax.
    expected |= {name for name, _ in network.named_parameters() if "fc_gamma" in name and name.endswith(".2.bias")}
    assert own == expected
    assert without >= {name for name, _ in network.named_parameters() if name.startswith("init_occ.")}
