"""The anchor encoder: parity with the published network, and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import fill, load, state_table, worst
from im2hands.networks.anchor_encoder import AnchorEncoder, AnchorSizes, EncodedAnchors
from im2hands.networks.farthest_points import PUBLISHED_GUARD

SIDES = ("left", "right")
TOLERANCE = 5e-5
SMALL = AnchorSizes(inputs=5, reduced=8, width=12, counts=(20, 10), neighbours=4, final_layers=2)


@pytest.fixture(scope="module")
def golden():
    return load("ref_occ")


@pytest.fixture(scope="module")
def encoder() -> AnchorEncoder:
    network = AnchorEncoder().eval()
    fill(network, lambda name: f"trans_enc.{name}")
    return network


@pytest.fixture(scope="module")
def encoded(golden, encoder) -> EncodedAnchors:
    positions, image = (
        torch.stack([torch.from_numpy(golden[f"{side}_anchor_{part}"]) for side in SIDES])
        for part in ("xyz_centred", "img_feat")
    )
    sides = torch.eye(2)[:, None].expand(-1, image.shape[1], -1)
    with torch.no_grad():
        return encoder(positions, torch.cat([image, sides], dim=-1), guard=PUBLISHED_GUARD)


def test_names_and_shapes_are_the_published_ones(encoder):
    prefix = "trans_enc."
    table = {k.removeprefix(prefix): v for k, v in state_table("ref_occ").items() if k.startswith(prefix)}
    assert {name: tuple(value.shape) for name, value in encoder.state_dict().items()} == table


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_features(golden, encoded, side):
    hand = SIDES.index(side)
    for level, count in enumerate((256, 128)):
        assert np.array_equal(encoded.picked[level][hand], golden[f"{side}_fps{count}"])
    assert worst(encoded.begin[hand, ::16], golden[f"{side}_enc_begin"]) <= TOLERANCE
    assert worst(encoded.levels[0][hand, ::16], golden[f"{side}_td0_feats"]) <= TOLERANCE
    assert worst(encoded.levels[1][hand, ::8], golden[f"{side}_td1_feats"]) <= TOLERANCE
    assert worst(encoded.positions[hand], golden[f"{side}_anchors128_xyz"]) == 0
    assert worst(encoded.features[hand], golden[f"{side}_anchors128_feat"]) <= TOLERANCE
    assert worst(encoded.code[hand], golden[f"{side}_z"]) <= TOLERANCE


def small() -> tuple[AnchorEncoder, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return AnchorEncoder(SMALL).eval(), torch.randn(3, 40, 3) * 0.05, torch.randn(3, 40, 5)


def test_batch_equals_singles():
    encoder, positions, features = small()
    with torch.no_grad():
        together = encoder(positions, features)
        for hand in range(3):
            alone = encoder(positions[hand : hand + 1], features[hand : hand + 1])
            assert torch.allclose(alone.code[0], together.code[hand], atol=1e-5)
            assert torch.allclose(alone.features[0], together.features[hand], atol=1e-5)


def test_the_order_of_the_anchors_after_the_first_does_not_matter():
    encoder, positions, features = small()
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(39)])
    with torch.no_grad():
        first, second = encoder(positions, features), encoder(positions[:, order], features[:, order])
    assert torch.allclose(first.code, second.code, atol=1e-5)
    assert torch.equal(first.positions, second.positions)


def test_gradients_reach_every_weight_but_the_last_biases_of_the_softmax():
    encoder, positions, features = small()
    result = encoder.train()(positions, features)
    (result.code.square().sum() + result.features.square().sum()).backward()
    missing = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert missing and all("fc_gamma" in name and name.endswith(".2.bias") for name in missing)


def test_too_few_anchors_are_refused():
    encoder, positions, features = small()
    with pytest.raises(ValueError, match="cannot pick 20"):
        encoder(positions[:, :15], features[:, :15])
