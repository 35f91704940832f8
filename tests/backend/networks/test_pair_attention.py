"""Folded vector attention against its definition; chunks and gradients."""

from __future__ import annotations

import pytest
import torch

from im2hands.networks import pair_attention
from im2hands.networks.pair_attention import PairAttention, TwoLayers

WIDTH = 6


@pytest.fixture
def scene():
    torch.manual_seed(0)
    delta, gamma = TwoLayers(3, WIDTH).double(), TwoLayers(WIDTH, WIDTH).double()

    def random(*size):
        return torch.randn(*size, dtype=torch.float64)

    index = torch.stack([torch.stack([torch.randperm(11)[:4] for _ in range(7)]) for _ in range(2)])
    return delta, gamma, random(2, 7, 3), random(2, 11, 3), random(2, 7, WIDTH), random(2, 11, 2 * WIDTH), index


def by_definition(scene, sign, index, token=None):
    delta, gamma, x, y, query, key_value, _ = scene
    key, value = key_value.chunk(2, dim=-1)
    result = torch.empty(2, 7, WIDTH, dtype=torch.float64)
    for b in range(2):
        for i in range(7):
            near = torch.arange(11) if index is None else index[b, i]
            encoded = delta(sign * (x[b, i] - y[b, near]))
            keys, values = key[b, near], value[b, near]
            if token is not None:
                encoded = torch.cat([encoded, torch.zeros(1, WIDTH, dtype=torch.float64)])
                keys, values = torch.cat([keys, token[0][b, None]]), torch.cat([values, token[1][b, None]])
            weights = gamma(query[b, i] - keys + encoded).softmax(0)
            result[b, i] = (weights * (values + encoded)).sum(0)
    return result


def folded(scene, sign, index):
    delta, gamma, x, y, query, key_value, _ = scene
    pairs = PairAttention(delta, gamma, sign=sign)
    table = pairs.table(y, *key_value.chunk(2, dim=-1))
    return pairs.attend(x, pairs.queries(query), table, index)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("everybody", [True, False])
@torch.no_grad()
def test_folding_is_exact(scene, sign, everybody):
    index = None if everybody else scene[-1]
    assert torch.allclose(folded(scene, sign, index), by_definition(scene, sign, index), atol=1e-12)


@torch.no_grad()
def test_a_token_without_position(scene):
    delta, gamma, x, y, query, key_value, index = scene
    query[:] = query[:, :1]  # a token has one query for all points
    token = torch.randn(2, WIDTH, dtype=torch.float64), torch.randn(2, WIDTH, dtype=torch.float64)
    pairs = PairAttention(delta, gamma)
    found = pairs.attend(
        x,
        pairs.queries(query[:, :1]),
        pairs.table(y, *key_value.chunk(2, dim=-1)),
        index,
        pairs.token(query[:, 0], *token),
    )
    assert torch.allclose(found, by_definition(scene, 1.0, index, token), atol=1e-12)


@pytest.mark.parametrize("everybody", [True, False])
def test_chunks_and_gradients_change_nothing(scene, everybody, monkeypatch):
    index = None if everybody else scene[-1]
    whole = folded(scene, 1.0, index)
    assert whole.requires_grad
    monkeypatch.setattr(pair_attention, "PAIRS", 20)
    with torch.no_grad():
        assert torch.allclose(folded(scene, 1.0, index), whole, atol=1e-12)


@torch.no_grad()
def test_no_queries(scene):
    delta, gamma, _, y, _, key_value, _ = scene
    pairs = PairAttention(delta, gamma)
    table = pairs.table(y, *key_value.chunk(2, dim=-1))
    nobody, nothing = torch.zeros(2, 0, 3, dtype=torch.float64), torch.zeros(2, 0, WIDTH, dtype=torch.float64)
    assert pairs.attend(nobody, nothing, table, None).shape == (2, 0, WIDTH)


@torch.no_grad()
def test_bfloat16_keeps_the_difference_of_positions():
    torch.manual_seed(3)
    delta, gamma = TwoLayers(3, 64), TwoLayers(64, 64)
    place = torch.tensor([0.3, -0.2, 0.1])  # far from 0: rounding coordinates to bfloat16 shifts them by a millimetre
    x, y = place + 0.02 * torch.randn(1, 500, 3), place + 0.02 * torch.randn(1, 64, 3)
    delta.first.weight.mul_(50)  # hidden channels that change within millimetres
    key, value, query = torch.randn(1, 64, 64), 0.1 * torch.randn(1, 64, 64), torch.randn(1, 1, 64)
    index = torch.randint(0, 64, (1, 500, 9))

    def attended(precision, shift=0.0):
        pairs = PairAttention(delta, gamma, precision)
        table = pairs.table(y, key, value)
        return pairs.attend(x + shift, pairs.queries(query), table, index)

    exact, fast = attended(None), attended(torch.bfloat16)
    assert fast.dtype == torch.float32
    error = (fast - exact).square().mean().sqrt()
    assert 0 < error < 0.01 * exact.std()
    # A shift by half a millimetre has a larger effect.
    assert error < 0.5 * (attended(None, 0.0005) - exact).square().mean().sqrt()
