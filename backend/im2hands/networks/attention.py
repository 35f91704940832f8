"""Transformer block and query-image attention of the occupancy and keypoint networks of Im2Hands.

A query attends to itself and to the image tokens only, never to other queries. So the keys and values of the image
tokens are computed once an image (``QueryImageAttention.encode``), and each query costs a single token.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_NORM_EPSILON = 1e-6
DROPOUT = 0.01
"""Dropout of the hand networks, in training."""


class FeedForward(nn.Module):
    """Feed-forward layer ``x + fc2(relu(fc1(LN(x))))`` with hidden width d.

    Parameters
    ----------
    width : int
        Channels d.
    dropout : float
        Dropout after each linear layer, in training.
    """

    def __init__(self, width: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., d) features."""
        hidden = functional.dropout(functional.relu(self.fc1(self.layer_norm(x))), self.dropout, self.training)
        return x + functional.dropout(self.fc2(hidden), self.dropout, self.training)


class KeysValues(NamedTuple):
    """Keys and values of T tokens.

    Parameters
    ----------
    keys : (B, heads, T, d // heads) float
        Keys.
    values : (B, heads, T, d // heads) float
        Values.
    """

    keys: Tensor
    values: Tensor


class SelfAttentionBlock(nn.Module):
    """Pre-norm transformer block: multi-head self-attention, then a feed-forward layer.

    Parameters
    ----------
    width : int
        Channels d.
    heads : int
        Attention heads. Each has d // heads channels (d = 19 with 2 heads gives 9).
    dropout : float
        Dropout on attention weights and after each output layer, in training.
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
        """Apply the block to sequences of tokens.

        Parameters
        ----------
        tokens : (B, T, d) float
            Tokens that attend to each other.

        Returns
        -------
        (B, T, d) float
            The tokens after the block.
        """
        normed = self.layer_norm(tokens)
        queries, keys, values = (self._by_head(w(normed)) for w in (self.w_qs, self.w_ks, self.w_vs))
        weights = self._weights(queries @ keys.mT)
        return self._finish(tokens, (weights @ values).transpose(1, 2).flatten(2))

    def keys_values(self, tokens: Tensor) -> KeysValues:
        """Compute the keys and values of context tokens, for ``read``.

        Parameters
        ----------
        tokens : (B, T, d) float
            Context tokens.

        Returns
        -------
        KeysValues
            Their keys and values.
        """
        normed = self.layer_norm(tokens)
        return KeysValues(self._by_head(self.w_ks(normed)), self._by_head(self.w_vs(normed)))

    def read(self, queries: Tensor, context: KeysValues) -> Tensor:
        """Compute the block's output at the first token of the sequence (query, context tokens), for each query alone.

        Parameters
        ----------
        queries : (B, N, d) float
            Queries. They do not attend to each other.
        context : KeysValues
            Keys and values of the context tokens, from ``keys_values``.

        Returns
        -------
        (B, N, d) float
            The queries after the block.
        """
        normed = self.layer_norm(queries)
        query, own_key, own_value = (self._by_head(w(normed)) for w in (self.w_qs, self.w_ks, self.w_vs))
        own_score = (query * own_key).sum(-1, keepdim=True)
        weights = self._weights(torch.cat([own_score, query @ context.keys.mT], dim=-1))
        read = weights[..., :1] * own_value + weights[..., 1:] @ context.values
        return self._finish(queries, read.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, T, heads * dq) to (B, heads, T, dq); the channels of a head are contiguous."""
        return x.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)

    def _weights(self, scores: Tensor) -> Tensor:
        """Attention weights of scores (..., T)."""
        weights = torch.softmax(scores / self.head_width**0.5, dim=-1)
        return functional.dropout(weights, self.dropout, self.training)

    def _finish(self, x: Tensor, read: Tensor) -> Tensor:
        """Output layer, residual and feed-forward layer after the attention."""
        return self.ff(x + functional.dropout(self.fc(read), self.dropout, self.training))


class ImageTokenEncoder(nn.Module):
    """Feature map to image tokens: a strided convolution, ReLU, learned position embeddings, one transformer block.

    Parameters
    ----------
    channels : int
        Channels of the feature map.
    width : int
        Channels of a token.
    grid : int
        Tokens along each side.
    patch : int
        Pixels along each side of the patch that a token covers.
    heads : int
        Attention heads of the block.
    dropout : float
        Dropout of the block, in training.
    """

    def __init__(self, channels: int, width: int, grid: int, patch: int, heads: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(grid * grid, width)
        self.proj = nn.Conv2d(channels, width, patch, patch)
        self.self_attn = SelfAttentionBlock(width, heads, dropout)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Compute the image tokens.

        Parameters
        ----------
        feature_map : (B, channels, grid * patch, grid * patch) float
            The feature map.

        Returns
        -------
        (B, grid * grid, width) float
            Tokens, row by row.
        """
        tokens = functional.relu(self.proj(feature_map)).flatten(2).mT
        return self.self_attn(tokens + self.position_embeddings.weight)


class TokenReader(nn.Module):
    """Attention of each query to itself and to the image tokens, which a linear layer first brings to its width.

    Parameters
    ----------
    token_width : int
        Channels of an image token.
    query_width : int
        Channels of queries and outputs.
    heads : int
        Attention heads.
    dropout : float
        Dropout, in training.
    """

    def __init__(self, token_width: int, query_width: int, heads: int, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.fc = nn.Linear(token_width, query_width)
        self.Attn = SelfAttentionBlock(query_width, heads, dropout)

    def context(self, tokens: Tensor) -> KeysValues:
        """Compute the keys and values of image tokens.

        Parameters
        ----------
        tokens : (B, T, token_width) float
            Image tokens.

        Returns
        -------
        KeysValues
            Their keys and values.
        """
        return self.Attn.keys_values(self.fc(tokens))

    def forward(self, queries: Tensor, context: KeysValues) -> Tensor:
        """Read the image for each query.

        Parameters
        ----------
        queries : (B, N, query_width) float
            Queries.
        context : KeysValues
            Result of ``context``.

        Returns
        -------
        (B, N, query_width) float
            Image features of the queries.
        """
        return self.Attn.read(queries, context)


class ImageTokens(NamedTuple):
    """The query-independent half of ``QueryImageAttention``.

    Parameters
    ----------
    tokens : (B, T, token_width) float
        Image tokens.
    context : KeysValues
        Their keys and values for the queries.
    """

    tokens: Tensor
    context: KeysValues


class QueryImageAttention(nn.Module):
    """Image features of queries, read from a feature map by attention.

    Parameters
    ----------
    channels : int
        Channels of the feature map.
    token_width : int
        Channels of an image token.
    query_width : int
        Channels of queries and outputs.
    grid : int
        Image tokens along each side of the map.
    heads : int
        Attention heads of both transformer blocks.
    map_size : int
        Pixels along each side of the feature map. Each token covers ``map_size // grid`` of them.
    dropout : float
        Dropout, in training.
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
        """Compute the image tokens; once an image.

        Parameters
        ----------
        feature_map : (B, channels, map_size, map_size) float
            The feature map.

        Returns
        -------
        ImageTokens
            Tokens, keys and values.
        """
        tokens = self.encoder(feature_map)
        return ImageTokens(tokens, self.attn.context(tokens))

    def forward(self, queries: Tensor, image: ImageTokens) -> Tensor:
        """Compute the image features of queries.

        Parameters
        ----------
        queries : (B, N, query_width) float
            Query features.
        image : ImageTokens
            Result of ``encode``.

        Returns
        -------
        (B, N, query_width) float
            Image features.
        """
        return self.attn(queries, image.context)
