"""The transformer block and the query-image attention follow their formulas; queries do not affect each other."""

from __future__ import annotations

import pytest
import torch

from im2hands.networks.attention import QueryImageAttention, SelfAttentionBlock

SIZES = [(19, 2), (82, 4), (32, 2)]


def _block(width: int, heads: int) -> SelfAttentionBlock:
    torch.manual_seed(0)
    block = SelfAttentionBlock(width, heads).double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block


def _by_the_formula(block: SelfAttentionBlock, x: torch.Tensor, heads: int) -> torch.Tensor:
    """The transformer block, formula by formula, for one sequence (T, d)."""
    state = block.state_dict()

    def linear(name, y):
        return y @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name, y):
        centred = y - y.mean(-1, keepdim=True)
        return (
            centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-6) * state[f"{name}.weight"]
            + state[f"{name}.bias"]
        )

    size = x.shape[-1] // heads
    q, k, v = (linear(name, norm("layer_norm", x)) for name in ("w_qs", "w_ks", "w_vs"))
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        out.append(torch.softmax(q[:, part] @ k[:, part].T / size**0.5, -1) @ v[:, part])
    x = x + linear("fc", torch.cat(out, -1))
    return x + linear("ff.fc2", torch.relu(linear("ff.fc1", norm("ff.layer_norm", x))))


@pytest.mark.parametrize(("width", "heads"), SIZES)
def test_block_follows_the_formula(width, heads):
    block = _block(width, heads)
    tokens = torch.randn(2, 17, width, dtype=torch.float64)
    found = block(tokens)
    assert found.shape == tokens.shape
    for one, expected in zip(found, tokens, strict=True):
        assert torch.allclose(one, _by_the_formula(block, expected, heads), atol=1e-12)


@pytest.mark.parametrize(("width", "heads"), SIZES)
def test_reading_is_the_first_token_of_the_full_sequence(width, heads):
    block = _block(width, heads)
    tokens, queries = torch.randn(2, 16, width).double(), torch.randn(2, 5, width).double()
    found = block.read(queries, block.keys_values(tokens))
    for i in range(5):
        sequence = torch.cat([queries[:, i : i + 1], tokens], dim=1)
        assert torch.allclose(found[:, i], block(sequence)[:, 0], atol=1e-12)


def test_dropout_only_while_training():
    block = SelfAttentionBlock(32, 2, dropout=0.5)
    tokens = torch.randn(1, 8, 32)
    assert not torch.equal(block(tokens), block(tokens))
    block.eval()
    assert torch.equal(block(tokens), block(tokens))


def test_query_image_attention_is_generic_in_its_sizes():
    network = QueryImageAttention(24, 82, 80, grid=8, heads=4, map_size=32).eval()
    image = network.encode(torch.randn(2, 24, 32, 32))
    assert image.tokens.shape == (2, 64, 82) and image.context.keys.shape == (2, 4, 64, 20)
    queries = torch.randn(2, 21, 80)
    found = network(queries, image)
    assert found.shape == (2, 21, 80)
    assert torch.allclose(network(queries[:, :3], image), found[:, :3], atol=1e-6)
    assert network(queries[:, :0], image).shape == (2, 0, 80)
    names = {name.rsplit(".", 1)[0] for name in network.state_dict()}
    block = {"w_qs", "w_ks", "w_vs", "layer_norm", "fc", "ff.layer_norm", "ff.fc1", "ff.fc2"}
    prefixed = {f"{prefix}.{name}" for prefix in ("encoder.self_attn", "attn.Attn") for name in block}
    assert names == prefixed | {"encoder.position_embeddings", "encoder.proj", "attn.fc"}


def test_image_tokens_run_row_by_row():
    network = QueryImageAttention(1, 4, 4, grid=2, heads=2, map_size=4).eval()
    with torch.no_grad():
        network.encoder.proj.weight.fill_(1.0)
        network.encoder.proj.bias.zero_()
    seen: list[torch.Tensor] = []
    network.encoder.self_attn.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    feature_map = torch.zeros(1, 1, 4, 4)
    feature_map[0, 0, 0, 2:] = 1.0  # top right patch
    network.encode(feature_map)
    positions = network.encoder.position_embeddings.weight
    assert torch.allclose((seen[0][0] - positions)[:, 0], torch.tensor([0.0, 2.0, 0.0, 0.0]))
