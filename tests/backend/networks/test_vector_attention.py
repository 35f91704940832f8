"""Vector attention blocks against a plain evaluation, and what they must not depend on."""

from __future__ import annotations

import pytest
import torch
from im2hands.networks.vector_attention import ElementwiseBlock, SetAbstraction, VectorAttentionBlock

WIDTH = 6


def cloud(points: int = 24, hands: int = 2):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(hands, points, 3, generator=generator) * 0.1, torch.randn(
        hands, points, WIDTH, generator=generator
    )


def ready(module: torch.nn.Module) -> torch.nn.Module:
    """In evaluation mode, with averages that show whether batch normalisation is applied."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("neighbours", [5, None])
def test_block_is_what_the_specification_says(neighbours):
    torch.manual_seed(0)
    block = ready(VectorAttentionBlock(WIDTH, neighbours))
    positions, features = cloud(hands=1)
    with torch.no_grad():
        found = block(positions, features)[0]
        x, f = positions[0], features[0]
        for i in range(len(x)):
            near = (x - x[i]).square().sum(-1).argsort()[:neighbours]
            delta = block.fc_delta(x[i] - x[near])
            weights = block.fc_gamma(block.w_qs(f[i]) - block.w_ks(f[near]) + delta).softmax(0)
            result = (weights * (block.w_vs(f[near]) + delta)).sum(0)
            assert torch.allclose(found[i], block.bn((result + f[i])[None])[0], atol=1e-5)


def test_block_follows_a_permutation_and_ignores_a_translation():
    torch.manual_seed(1)
    block = ready(VectorAttentionBlock(WIDTH, 5))
    positions, features = cloud()
    order = torch.randperm(positions.shape[1])
    with torch.no_grad():
        found = block(positions, features)
        assert torch.allclose(block(positions[:, order], features[:, order]), found[:, order], atol=1e-5)
        assert torch.allclose(block(positions + 0.5, features), found, atol=1e-4)


def test_set_abstraction_thins_out_and_a_batch_equals_singles():
    torch.manual_seed(2)
    block = ready(SetAbstraction(WIDTH, 9, 5))
    positions, features = cloud()
    with torch.no_grad():
        centres, found, picked = block(positions, features)
        assert centres.shape == (2, 9, 3) and found.shape == (2, 9, WIDTH) and picked.shape == (2, 9)
        assert torch.equal(centres[1], positions[1, picked[1]])
        for hand in range(2):
            alone = block(positions[hand : hand + 1], features[hand : hand + 1])
            assert torch.allclose(alone[1][0], found[hand], atol=1e-5)


def test_position_signs_are_opposite_in_the_two_blocks():
    """7.4: a transformer block encodes self minus neighbour, set abstraction neighbour minus centre."""
    positions, features = cloud(points=6, hands=1)
    torch.manual_seed(4)
    seen: list[torch.Tensor] = []
    transformer, down = ready(VectorAttentionBlock(WIDTH, None)), ready(SetAbstraction(WIDTH, 6, 6))
    for module in (transformer.fc_delta, down.fc_delta1):
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        transformer(positions, features)
        down(positions, features)
    # The first point is the first centre; sums over all neighbours do not depend on their order.
    assert torch.allclose(seen[0][0, 0].sum(0), -seen[1][0, 0].sum(0), atol=1e-6)
    assert seen[0][0, 0].abs().sum() > 0


def test_elementwise_block_sees_one_point_only():
    torch.manual_seed(5)
    block = ready(ElementwiseBlock(WIDTH))
    features = cloud()[1]
    with torch.no_grad():
        assert torch.allclose(block(features)[1, 4], block(features[1:, 4:5])[0, 0], atol=1e-6)
