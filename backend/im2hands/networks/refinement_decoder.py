"""The refinement decoder: occupancy of a query from the anchors near it.

It is the decoder of AIR-Nets (Giebenhain and Goldluecke, 3DV 2021), as Im2Hands (Lee et al., CVPR 2023) uses it.
``RefinementDecoder`` holds the weights. ``FoldedHands`` is the same function for given hands: every product of weights
that does not depend on the query is computed once for each hand. A query then costs three products with 200 x 200
matrices for each of its nine anchors, and a few small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .farthest_points import nearest_neighbours
from .pair_attention import PairAttention, Table, Token, TwoLayers


class AnchorCrossAttention(nn.Module):
    """Weights of the vector attention of a query to its nearest anchors and to one global token, the hand code.

    Parameters
    ----------
    width : int
        Channels of the attention.
    inputs : int
        Channels of the anchor features and of the hand code.
    """

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.w_qs = nn.Linear(inputs, width, bias=False)
        self.w_ks = nn.Linear(inputs, width, bias=False)
        self.w_vs = nn.Linear(inputs, width, bias=False)
        self.w_k_global = nn.Linear(inputs, width, bias=False)
        self.w_v_global = nn.Linear(inputs, width, bias=False)
        self.fc_delta = TwoLayers(3, width)
        self.fc_gamma = TwoLayers(width, width)


class ResidualBlock(nn.Module):
    """Residual block ``x + fc_1(relu(fc_0(relu(x))))``; ``fc_1`` starts at zero.

    Parameters
    ----------
    width : int
        Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_0 = nn.Linear(width, width)
        self.fc_1 = nn.Linear(width, width)
        nn.init.zeros_(self.fc_1.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        return features + self.fc_1(functional.relu(self.fc_0(functional.relu(features))))


class RefinementDecoder(nn.Module):
    """Cross attention to the anchors, then residual blocks; the defaults are the published sizes.

    Parameters
    ----------
    width : int
        Channels of the attention.
    inputs : int
        Channels of the anchor features and of the hand code.
    extra : int
        Channels of a query's own features.
    hidden : int
        Channels of the residual blocks.
    blocks : int
        Number of residual blocks.
    neighbours : int
        Anchors that a query attends to.
    """

    def __init__(
        self, width: int = 200, inputs: int = 256, extra: int = 64, hidden: int = 32, blocks: int = 5,
        neighbours: int = 9,
    ) -> None:  # fmt: skip
        super().__init__()
        self.neighbours = neighbours
        self.ct1 = AnchorCrossAttention(width, inputs)
        self.init_enc = nn.Linear(width + extra, hidden)
        self.blocks = nn.ModuleList(ResidualBlock(hidden) for _ in range(blocks))
        self.fc_c = nn.ModuleList(nn.Linear(width, hidden) for _ in range(blocks))
        self.fc_out = nn.Linear(hidden, 1)

    def fold(
        self, code: Tensor, positions: Tensor, features: Tensor, precision: torch.dtype | None = None
    ) -> FoldedHands:
        """Compute everything about B hands that does not depend on the query.

        Parameters
        ----------
        code : (B, inputs) float
            Hand codes in context.
        positions : (B, A, 3) float
            Anchors, relative to the centre of both hands' anchors, in units of ``RefinedSizes.unit``.
        features : (B, A, inputs) float
            Features of the anchors.
        precision : torch.dtype or None
            Precision of the products over pairs of query and anchor; see ``pair_attention.PairAttention``.

        Returns
        -------
        FoldedHands
            The decoder of the hands, differentiable with respect to all inputs and weights.
        """
        attention = self.ct1
        pairs = PairAttention(attention.fc_delta, attention.fc_gamma, precision)
        query = attention.w_qs(code)
        token = pairs.token(query, attention.w_k_global(code), attention.w_v_global(code))
        table = pairs.table(positions, attention.w_ks(features), attention.w_vs(features))
        layers = cast(Sequence[nn.Linear], self.fc_c)
        own = self.init_enc.weight[:, : attention.w_qs.out_features]
        conditions = (
            torch.cat([own, *(layer.weight for layer in layers)]),
            torch.cat([torch.zeros_like(self.init_enc.bias), *(layer.bias for layer in layers)]),
        )
        return FoldedHands(self, pairs, positions, pairs.queries(query)[:, None], table, token, conditions)


@dataclass(frozen=True)
class FoldedHands:
    """The decoder of B hands; see ``RefinementDecoder.fold``. d is the width of the attention.

    Parameters
    ----------
    decoder : RefinementDecoder
        The weights that are not folded.
    pairs : PairAttention
        Folded weights of the attention.
    positions : (B, A, 3) float
        Anchors.
    queries : (B, 1, d) float
        Encoded query of each hand, the same for all points.
    table : Table
        Encoded anchors.
    token : Token
        The hand code as a token.
    conditions : pair of Tensor
        Weight and bias of the layers that feed the attention's result to the first layer and to the residual blocks,
        concatenated.
    """

    decoder: RefinementDecoder
    pairs: PairAttention
    positions: Tensor
    queries: Tensor
    table: Table
    token: Token
    conditions: tuple[Tensor, Tensor]

    def __getitem__(self, hands: slice) -> FoldedHands:
        """Select hands of the batch."""
        token = Token(self.token.score[hands], self.token.value[hands])
        return FoldedHands(
            self.decoder, self.pairs, self.positions[hands], self.queries[hands], self.table[hands], token,
            self.conditions,
        )  # fmt: skip

    def nearest(self, positions: Tensor) -> Tensor:
        """Find the anchors that queries attend to.

        Parameters
        ----------
        positions : (B, N, 3) float
            Queries, frame and unit of the anchors.

        Returns
        -------
        (B, N, neighbours) int64
            The anchors, in no particular order.
        """
        return nearest_neighbours(positions, self.positions, self.decoder.neighbours)

    def attend(self, positions: Tensor, index: Tensor | None = None) -> Tensor:
        """Attend to the anchors.

        Parameters
        ----------
        positions : (B, N, 3) float
            Queries, frame and unit of the anchors.
        index : (B, N, neighbours) int64 or None
            Result of ``nearest``, if it is known.

        Returns
        -------
        (B, N, d) float
            Result of the cross attention ``ct1``.
        """
        index = self.nearest(positions) if index is None else index
        return self.pairs.attend(positions, self.queries, self.table, index, self.token)

    def logits(self, positions: Tensor, extra: Tensor) -> Tensor:
        """Compute the occupancy logits of queries.

        Parameters
        ----------
        positions : (B, N, 3) float
            Queries, frame and unit of the anchors.
        extra : (B, N, extra) float
            The queries' own features.

        Returns
        -------
        (B, N) float
            Logits, positive inside.
        """
        return self.decode(self.told(positions), extra)

    def told(self, positions: Tensor, index: Tensor | None = None) -> Tensor:
        """Compute what the anchors tell of queries: the part of ``logits`` that costs most and changes least in space.

        Parameters
        ----------
        positions : (B, N, 3) float
            Queries, frame and unit of the anchors.
        index : (B, N, neighbours) int64 or None
            Result of ``nearest``, if it is known.

        Returns
        -------
        (B, N, hidden (1 + blocks)) float
            The attention's result as the later layers take it.
        """
        return functional.linear(self.attend(positions, index), *self.conditions)

    def decode(self, told: Tensor, extra: Tensor) -> Tensor:
        """Compute the occupancy logits of queries from what the anchors tell of them.

        Parameters
        ----------
        told : (B, N, hidden (1 + blocks)) float
            Result of ``told``.
        extra : (B, N, extra) float
            The queries' own features.

        Returns
        -------
        (B, N) float
            Logits, positive inside.
        """
        decoder = self.decoder
        first, *conditions = told.chunk(1 + len(decoder.blocks), dim=-1)
        own = decoder.init_enc.weight[:, -extra.shape[-1] :]
        net = first + functional.linear(extra, own, decoder.init_enc.bias)
        for block, condition in zip(decoder.blocks, conditions, strict=True):
            net = block(net + condition)
        return decoder.fc_out(net)[..., 0]
