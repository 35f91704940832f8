"""The refinement decoder: occupancy of a query from the anchors near it (specification 7.6).

``RefinementDecoder`` holds the weights. ``FoldedHands`` is the same function for given hands: every product of weights
that does not depend on the query is made once per hand, so a query costs three multiplications by 200 x 200 for each of
its nine anchors and a few small ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .farthest_points import nearest_neighbours, take
from .vector_attention import TwoLayers


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

    def fold(self, code: Tensor, positions: Tensor, features: Tensor) -> FoldedHands:
        """Everything about B hands that no query changes; differentiable with respect to all inputs and weights.

        Args:
            code: (B, inputs), the hand codes in context. positions: (B, A, 3) anchors, centred camera frame, metres.
            features: (B, A, inputs) of the anchors.
        """
        attention = self.ct1
        delta_1, delta_2 = attention.fc_delta.first, attention.fc_delta.second
        gamma_1, gamma_2 = attention.fc_gamma.first, attention.fc_gamma.second
        query = attention.w_qs(code)
        # gamma_1(q - k + delta_2 h) = gamma_1(q - k + b) + (gamma_1 delta_2) h, h the hidden layer of fc_delta.
        key = gamma_1(query[:, None] - attention.w_ks(features) + delta_2.bias)
        global_hidden = functional.relu(gamma_1(query - attention.w_k_global(code)))
        return FoldedHands(
            decoder=self,
            positions=positions,
            offsets=positions @ delta_1.weight.T - delta_1.bias,
            keys=key,
            values=attention.w_vs(features) + delta_2.bias,
            pair_weight=torch.cat([delta_2.weight, gamma_1.weight @ delta_2.weight]),
            global_score=global_hidden @ gamma_2.weight.T,
            global_value=attention.w_v_global(code),
        )


@dataclass(frozen=True)
class FoldedHands:
    """The decoder of B hands (see :meth:`RefinementDecoder.fold`); d is the width of the attention.

    Args:
        decoder: the weights that stay as they are. positions: (B, A, 3) anchors. offsets: (B, A, d), what is taken
            from the first layer of the position encoding. keys, values: (B, A, d). pair_weight: (2d, d).
        global_score, global_value: (B, d), of the global token.
    """

    decoder: RefinementDecoder
    positions: Tensor
    offsets: Tensor
    keys: Tensor
    values: Tensor
    pair_weight: Tensor
    global_score: Tensor
    global_value: Tensor

    def __getitem__(self, hands: slice) -> FoldedHands:
        """Some of the hands."""
        return FoldedHands(
            self.decoder, self.positions[hands], self.offsets[hands], self.keys[hands], self.values[hands],
            self.pair_weight, self.global_score[hands], self.global_value[hands],
        )  # fmt: skip

    def attend(self, positions: Tensor) -> Tensor:
        """Cross attention ``ct1`` of query positions (B, N, 3), the anchors' frame, metres, to (B, N, d)."""
        attention = self.decoder.ct1
        index = nearest_neighbours(positions, self.positions, self.decoder.neighbours)
        first = positions @ attention.fc_delta.first.weight.T
        hidden = functional.relu(first[:, :, None] - take(self.offsets, index))
        delta, scores = functional.linear(hidden, self.pair_weight).chunk(2, dim=-1)
        # The bias of the last layer is the same for all tokens: the softmax does not see it.
        scores = functional.relu(scores + take(self.keys, index)) @ attention.fc_gamma.second.weight.T
        everywhere = self.global_score[:, None, None].expand(-1, positions.shape[1], -1, -1)
        weights = torch.softmax(torch.cat([scores, everywhere], dim=2), dim=2)
        near = (weights[:, :, :-1] * (delta + take(self.values, index))).sum(2)
        return near + weights[:, :, -1] * self.global_value[:, None]

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
        for block, condition in zip(decoder.blocks, decoder.fc_c, strict=True):
            net = block(net + condition(attended))
        return decoder.fc_out(net)[..., 0]
