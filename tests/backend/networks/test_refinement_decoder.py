"""The refinement decoder: parity, folding against a plain evaluation, and invariants."""

from __future__ import annotations

import pytest
import torch

from golden import fill, load, state_table, worst
from im2hands.networks.refinement_decoder import FoldedHands, RefinementDecoder

SIDES = ("left", "right")
TOLERANCE = 5e-5


@pytest.fixture(scope="module")
def golden():
    return load("ref_occ")


@pytest.fixture(scope="module")
def decoder() -> RefinementDecoder:
    network = RefinementDecoder().eval()
    fill(network, lambda name: f"trans_dec.{name}")
    return network


def test_names_and_shapes_are_the_published_ones(decoder):
    prefix = "trans_dec."
    table = {k.removeprefix(prefix): v for k, v in state_table("ref_occ").items() if k.startswith(prefix)}
    assert {name: tuple(value.shape) for name, value in decoder.state_dict().items()} == table


@pytest.mark.parity
@torch.no_grad()
def test_attention_and_logits(golden, decoder):
    code, anchors, features, positions, image, initial = (
        torch.stack([torch.from_numpy(golden[f"{side}_{name}"]) for side in SIDES])
        for name in (
            "z_context", "anchors128_xyz", "anchors128_feat", "query_xyz_centred", "query_img_feat", "init_occ",
        )
    )  # fmt: skip
    hands = decoder.fold(code, anchors, features)
    attended = hands.attend(positions)
    logits = hands.logits(positions, torch.cat([image, initial[..., None].expand(-1, -1, 32)], dim=-1))
    for hand, side in enumerate(SIDES):
        assert worst(attended[hand], golden[f"{side}_ct1"]) <= TOLERANCE
        assert worst(logits[hand], golden[f"{side}_logit"]) <= TOLERANCE
        assert worst(logits[hand].sigmoid(), golden[f"{side}_occ"]) <= 1e-5


def small() -> tuple[RefinementDecoder, tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    decoder = RefinementDecoder(width=8, inputs=6, extra=4, hidden=5, blocks=2, neighbours=3).double().eval()
    hands = tuple(torch.randn(*size, dtype=torch.float64) for size in ((2, 6), (2, 12, 3), (2, 12, 6)))
    return decoder, hands, torch.randn(2, 7, 3, dtype=torch.float64), torch.randn(2, 7, 4, dtype=torch.float64)


@torch.no_grad()
def test_folding_is_exact():
    decoder, (code, anchors, features), positions, _ = small()
    found = decoder.fold(code, anchors, features).attend(positions)
    a = decoder.ct1
    for hand in range(2):
        for i, x in enumerate(positions[hand]):
            near = (anchors[hand] - x).square().sum(-1).argsort()[:3]
            delta = torch.cat([a.fc_delta(x - anchors[hand, near]), torch.zeros(1, 8, dtype=torch.float64)])
            key = torch.cat([a.w_ks(features[hand, near]), a.w_k_global(code[hand])[None]])
            value = torch.cat([a.w_vs(features[hand, near]), a.w_v_global(code[hand])[None]])
            weights = a.fc_gamma(a.w_qs(code[hand]) - key + delta).softmax(0)
            assert torch.allclose(found[hand, i], (weights * (value + delta)).sum(0), atol=1e-12)


@torch.no_grad()
def test_queries_and_hands_do_not_see_each_other_nor_the_order_of_anchors():
    decoder, (code, anchors, features), positions, extra = small()
    hands = decoder.fold(code, anchors, features)
    logits = hands.logits(positions, extra)
    order = torch.randperm(7)
    assert torch.allclose(hands.logits(positions[:, order], extra[:, order]), logits[:, order])
    assert torch.allclose(hands[1:].logits(positions[1:, 2:3], extra[1:, 2:3]), logits[1:, 2:3])
    order = torch.randperm(12)
    assert torch.allclose(decoder.fold(code, anchors[:, order], features[:, order]).logits(positions, extra), logits)
    assert hands.logits(positions[:, :0], extra[:, :0]).shape == (2, 0)


def test_gradients_reach_every_weight_but_the_last_bias_of_the_softmax():
    decoder, hands, positions, extra = small()
    # fc_1 starts at zero, so fc_0 would get no gradient.
    for block in decoder.blocks:
        torch.nn.init.normal_(block.fc_1.weight)
    folded: FoldedHands = decoder.fold(*hands)
    folded.logits(positions, extra).square().sum().backward()
    still = {name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {"ct1.fc_gamma.2.bias"}
