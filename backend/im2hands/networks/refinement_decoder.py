"""The refinement decoder: occupancy of a query from the anchors near it (specification 7.6).

``RefinementDecoder`` holds the weights. ``FoldedHands`` is the same function for given hands: every product of weights
that does not depend on the query is made once per hand, so a query costs three multiplications by 200 x 200 for each of
its nine anchors and a few small ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .farthest_points import nearest_neighbours
from .pair_attention import PairAttention, Table, Token, TwoLayers


class AnchorCrossAttention(nn.Module):
    """Weights of the vector attention of a query to its nearest anchors and one global token, the hand code.

    Args:
        width: channels of the attention. inputs: channels of anchor features and hand code.
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
    """``x + fc_1(relu(fc_0(relu(x))))``; ``fc_1`` starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc_0 = nn.Linear(width, width)
        self.fc_1 = nn.Linear(width, width)
        nn.init.zeros_(self.fc_1.weight)

    def forward(self, features: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        return features + self.fc_1(functional.relu(self.fc_0(functional.relu(features))))


class RefinementDecoder(nn.Module):
    """Cross attention to the anchors, then five residual blocks.

    Args:
        width: channels of the attention. inputs: channels of anchor features and hand code. extra: channels a query
            brings along. hidden: channels of the residual blocks. blocks: their number. neighbours: anchors a query
            attends to.
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
        """Everything about B hands that no query changes; differentiable with respect to all inputs and weights.

        Args:
            code: (B, inputs), the hand codes in context. positions: (B, A, 3) anchors, centred camera frame, metres.
            features: (B, A, inputs) of the anchors. precision: of pairs of query and anchor, see
                :class:`~im2hands.networks.pair_attention.PairAttention`.
        """
        attention = self.ct1
        pairs = PairAttention(attention.fc_delta, attention.fc_gamma, precision)
        query = attention.w_qs(code)
        token = pairs.token(query, attention.w_k_global(code), attention.w_v_global(code))
        table = pairs.table(positions, attention.w_ks(features), attention.w_vs(features))
        layers = cast(Iterable[nn.Linear], self.fc_c)
        conditions = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
        return FoldedHands(self, pairs, positions, pairs.queries(query)[:, None], table, token, conditions)


@dataclass(frozen=True)
class FoldedHands:
    """The decoder of B hands (see :meth:`RefinementDecoder.fold`); d is the width of the attention.

    Args:
        decoder: the weights that stay as they are. pairs: those of the attention, folded. positions: (B, A, 3) anchors.
        queries: (B, 1, d), the same for all points. table: what the anchors offer. token: the hand code's.
        conditions: weight and bias of the layers that feed the attention's result to the blocks, in one.
    """

    decoder: RefinementDecoder
    pairs: PairAttention
    positions: Tensor
    queries: Tensor
    table: Table
    token: Token
    conditions: tuple[Tensor, Tensor]

    def __getitem__(self, hands: slice) -> FoldedHands:
        """Some of the hands."""
        token = Token(self.token.score[hands], self.token.value[hands])
        return FoldedHands(
            self.decoder, self.pairs, self.positions[hands], self.queries[hands], self.table[hands], token,
            self.conditions,
        )  # fmt: skip

    def attend(self, positions: Tensor) -> Tensor:
        """Cross attention ``ct1`` of query positions (B, N, 3), the anchors' frame, metres, to (B, N, d)."""
        index = nearest_neighbours(positions, self.positions, self.decoder.neighbours)
        return self.pairs.attend(self.pairs.own(positions), self.queries, self.table, index, self.token)

    def logits(self, positions: Tensor, extra: Tensor) -> Tensor:
        """Occupancy of queries.

        Args:
            positions: (B, N, 3), the anchors' frame, metres. extra: (B, N, extra), what the queries bring along.

        Returns:
            (B, N) logits; positive inside.
        """
        attended = self.attend(positions)
        decoder = self.decoder
        net = decoder.init_enc(torch.cat([attended, extra], dim=-1))
        conditions = functional.linear(attended, *self.conditions).chunk(len(decoder.blocks), dim=-1)
        for block, condition in zip(decoder.blocks, conditions, strict=True):
            net = block(net + condition)
        return decoder.fc_out(net)[..., 0]
