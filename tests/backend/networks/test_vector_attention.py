"""Vector attention blocks against a plain evaluation, and their invariants."""

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
    """The module in evaluation mode, with running statistics that reveal whether batch normalisation is applied."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.normal_(0, 0.3)
            norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("neighbours", [5, None])
def test_block_is_the_published_formula(neighbours):
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


def test_set_abstraction_is_the_published_formula():
    """Delta takes neighbour minus centre, opposite to the transformer block; both passes share it."""
    torch.manual_seed(4)
    block = ready(SetAbstraction(WIDTH, 9, 5))
    positions, features = cloud(hands=1)
    with torch.no_grad():
        _, found, picked = block(positions, features)
        x, f = positions[0], features[0]
        for row, i in enumerate(picked[0]):
            near = (x - x[i]).square().sum(-1).argsort()[:5]
            delta = block.fc_delta1(x[near] - x[i])
            weights = block.fc_gamma1(block.w_qs(f[i]) - block.w_ks(f[near]) + delta).softmax(0)
            first = (weights * (block.w_vs(f[near]) + delta)).sum(0)[None]
            inner = block.bn1(block.conv1(first[..., None])).relu()
            first = block.bnorm0(first + block.conv2(inner)[..., 0])
            weights = block.fc_gamma2(block.w_qs2(first) - block.w_ks2(f[near]) + delta).softmax(0)
            second = (weights * (block.w_vs2(f[near]) + delta)).sum(0)
            result = block.bnorm2(block.bnorm1(first + second) + f[i])
            assert torch.allclose(found[0, row], result[0], atol=1e-5)


def test_elementwise_block_sees_one_point_only():
    torch.manual_seed(5)
    block = ready(ElementwiseBlock(WIDTH))
    features = cloud()[1]
    with torch.no_grad():
        assert torch.allclose(block(features)[1, 4], block(features[1:, 4:5])[0, 0], atol=1e-6)
