"""Transformer block and query-image attention of the occupancy and keypoint networks (specification 6.2, 6.3).

A query attends to itself and to the image tokens only, never to other queries. So the image tokens' keys and values are
made once an image (:meth:`QueryImageAttention.encode`), and a query costs the one token that is read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_NORM_EPSILON = 1e-6
DROPOUT = 0.01


class FeedForward(nn.Module):
    """``x + fc2(relu(fc1(LN(x))))`` with hidden width d (6.3)."""

    def __init__(self, width: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) to (..., d)."""
        hidden = functional.dropout(functional.relu(self.fc1(self.layer_norm(x))), self.dropout, self.training)
        return x + functional.dropout(self.fc2(hidden), self.dropout, self.training)


class KeysValues(NamedTuple):
    """Keys and values of T tokens, (B, heads, T, d // heads) each."""

    keys: Tensor
    values: Tensor


class SelfAttentionBlock(nn.Module):
    """Pre-norm transformer block SA(d, heads) (6.3).

    Args:
        width: d. heads: each has d // heads channels (19 and 2 give 9). dropout: on attention weights and after each
            output layer, while training.
    """

    def __init__(self, width: int, heads: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        inner = heads * self.head_width
        self.w_qs = nn.Linear(width, inner)
        self.w_ks = nn.Linear(width, inner)
        self.w_vs = nn.Linear(width, inner)
        self.layer_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.fc = nn.Linear(inner, width)
        self.ff = FeedForward(width, dropout)
        self.dropout = dropout

    def forward(self, tokens: Tensor) -> Tensor:
        """Self-attention among T tokens: (B, T, d) to (B, T, d)."""
        normed = self.layer_norm(tokens)
        queries, keys, values = (self._by_head(w(normed)) for w in (self.w_qs, self.w_ks, self.w_vs))
        weights = self._weights(queries @ keys.mT)
        return self._finish(tokens, (weights @ values).transpose(1, 2).flatten(2))

    def keys_values(self, tokens: Tensor) -> KeysValues:
        """What T tokens (B, T, d) offer to :meth:`read`."""
        normed = self.layer_norm(tokens)
        return KeysValues(self._by_head(self.w_ks(normed)), self._by_head(self.w_vs(normed)))

    def read(self, queries: Tensor, context: KeysValues) -> Tensor:
        """The block's output at the first token of the sequence (query, context tokens), for each query alone.

        Args:
            queries: (B, N, d). context: of T tokens, see :meth:`keys_values`.

        Returns:
            (B, N, d).
        """
        normed = self.layer_norm(queries)
        query, own_key, own_value = (self._by_head(w(normed)) for w in (self.w_qs, self.w_ks, self.w_vs))
        own_score = (query * own_key).sum(-1, keepdim=True)
        weights = self._weights(torch.cat([own_score, query @ context.keys.mT], dim=-1))
        read = weights[..., :1] * own_value + weights[..., 1:] @ context.values
        return self._finish(queries, read.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, heads * dq) to (B, heads, T, dq); a head's channels are contiguous."""
        return x.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)

    def _weights(self, scores: Tensor) -> Tensor:
        weights = torch.softmax(scores / self.head_width**0.5, dim=-1)
        return functional.dropout(weights, self.dropout, self.training)

    def _finish(self, x: Tensor, read: Tensor) -> Tensor:
        return self.ff(x + functional.dropout(self.fc(read), self.dropout, self.training))


class ImageTokenEncoder(nn.Module):
    """A feature map to image tokens: a strided convolution, ReLU, learned positions, one transformer block (6.2.4).

    Args:
        channels: of the feature map. width: of a token. grid: tokens a side. patch: pixels a token covers, a side.
    """

    def __init__(self, channels: int, width: int, grid: int, patch: int, heads: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(grid * grid, width)
        self.proj = nn.Conv2d(channels, width, patch, patch)
        self.self_attn = SelfAttentionBlock(width, heads, dropout)

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B, channels, grid * patch, grid * patch) to tokens (B, grid * grid, width), row by row."""
        tokens = functional.relu(self.proj(feature_map)).flatten(2).mT
        return self.self_attn(tokens + self.position_embeddings.weight)


class TokenReader(nn.Module):
    """Each query attends to itself and to the image tokens, which are first brought to its width (6.2.5)."""

    def __init__(self, token_width: int, query_width: int, heads: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.fc = nn.Linear(token_width, query_width)
        self.Attn = SelfAttentionBlock(query_width, heads, dropout)

    def context(self, tokens: Tensor) -> KeysValues:
        """Image tokens (B, T, token_width) as keys and values."""
        return self.Attn.keys_values(self.fc(tokens))

    def forward(self, queries: Tensor, context: KeysValues) -> Tensor:
        """(B, N, query_width) to (B, N, query_width)."""
        return self.Attn.read(queries, context)


class ImageTokens(NamedTuple):
    """The query-independent half of :class:`QueryImageAttention`.

    Args:
        tokens: (B, T, token_width). context: their keys and values for the queries.
    """

    tokens: Tensor
    context: KeysValues


class QueryImageAttention(nn.Module):
    """Image features for queries, read from a feature map by attention (6.2, steps 4 and 5).

    Args:
        channels: of the feature map, whose side is ``map_size`` pixels. token_width: of the image tokens.
        query_width: of queries and outputs. grid: tokens a side; ``map_size / grid`` pixels make a token.
        heads: of both transformer blocks.
    """

    def __init__(
        self,
        channels: int,
        token_width: int,
        query_width: int,
        *,
        grid: int,
        heads: int,
        map_size: int = 64,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        self.encoder = ImageTokenEncoder(channels, token_width, grid, map_size // grid, heads, dropout)
        self.attn = TokenReader(token_width, query_width, heads, dropout)

    def encode(self, feature_map: Tensor) -> ImageTokens:
        """(B, channels, map_size, map_size) to image tokens; once an image."""
        tokens = self.encoder(feature_map)
        return ImageTokens(tokens, self.attn.context(tokens))

    def forward(self, queries: Tensor, image: ImageTokens) -> Tensor:
        """Queries (B, N, query_width) to image features (B, N, query_width)."""
        return self.attn(queries, image.context)
