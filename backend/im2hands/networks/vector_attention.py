"""Blocks over point clouds: transformer block, set abstraction and elementwise block (specification 7.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .farthest_points import farthest_points, nearest_neighbours, take
from .pair_attention import PairAttention, TwoLayers


def pointwise(convolution: nn.Conv1d, features: Tensor) -> Tensor:
    """A convolution with kernel size 1 on (..., C) features."""
    return functional.linear(features, convolution.weight[..., 0], convolution.bias)


def normalised(norm: nn.BatchNorm1d, features: Tensor) -> Tensor:
    """Batch normalisation of the channels of (B, N, C) features."""
    return norm(features.flatten(0, 1)).view_as(features)


class VectorAttentionBlock(nn.Module):
    """TB(d, k): vector attention of every point to its neighbours, residual, batch normalisation.

    Args:
        width: channels d. neighbours: k, the point itself included; None attends to all points.
    """

    def __init__(self, width: int, neighbours: int | None) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.w_qs = nn.Linear(width, width, bias=False)
        self.w_ks = nn.Linear(width, width, bias=False)
        self.w_vs = nn.Linear(width, width, bias=False)
        self.fc_delta = TwoLayers(3, width)
        self.fc_gamma = TwoLayers(width, width)
        self.bn = nn.BatchNorm1d(width)

    def forward(self, positions: Tensor, features: Tensor, precision: torch.dtype | None = None) -> Tensor:
        """Attend.

        Args:
            positions: (B, N, 3) metres; only differences count. features: (B, N, d). precision: of pairs, see
                :class:`~im2hands.networks.pair_attention.PairAttention`.

        Returns:
            (B, N, d).
        """
        index = None if self.neighbours is None else nearest_neighbours(positions, positions, self.neighbours)
        pairs = PairAttention(self.fc_delta, self.fc_gamma, precision)
        table = pairs.table(positions, self.w_ks(features), self.w_vs(features))
        attended = pairs.attend(pairs.own(positions), pairs.queries(self.w_qs(features)), table, index)
        return normalised(self.bn, attended + features)


class SetAbstraction(nn.Module):
    """DOWN(n): the farthest points of a cloud, each with what it gathers from its neighbours in two passes.

    Args:
        width: channels d. count: n, points kept. neighbours: of each kept point among all points, itself included.
    """

    def __init__(self, width: int, count: int, neighbours: int) -> None:
        super().__init__()
        self.count, self.neighbours = count, neighbours
        self.w_qs, self.w_qs2 = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.w_ks, self.w_ks2 = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.w_vs, self.w_vs2 = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.fc_delta1 = TwoLayers(3, width)
        self.fc_gamma1 = TwoLayers(width, width)
        self.fc_gamma2 = TwoLayers(width, width)
        self.conv1, self.conv2 = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)
        self.bn1, self.bnorm0, self.bnorm1, self.bnorm2 = (nn.BatchNorm1d(width) for _ in range(4))

    def forward(
        self,
        positions: Tensor,
        features: Tensor,
        *,
        guard: float | None = None,
        precision: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Thin the cloud out.

        Args:
            positions: (B, P, 3) metres. features: (B, P, d). guard: see
                :func:`~im2hands.networks.farthest_points.farthest_points`. precision: of pairs, see
                :class:`~im2hands.networks.pair_attention.PairAttention`.

        Returns:
            Positions (B, n, 3), features (B, n, d) and indices (B, n) of the kept points.
        """
        picked = farthest_points(positions, self.count, guard=guard)
        centres, own = take(positions, picked), take(features, picked)
        index = nearest_neighbours(centres, positions, self.neighbours)
        layers = (
            (self.fc_gamma1, self.w_qs, self.w_ks, self.w_vs),
            (self.fc_gamma2, self.w_qs2, self.w_ks2, self.w_vs2),
        )

        def attended(layer: int, queries: Tensor) -> Tensor:
            gamma, w_qs, w_ks, w_vs = layers[layer]
            pairs = PairAttention(self.fc_delta1, gamma, precision)
            # The opposite sign of the transformer block's.
            table = pairs.table(positions, w_ks(features), w_vs(features), sign=-1.0)
            return pairs.attend(pairs.own(centres, sign=-1.0), pairs.queries(w_qs(queries)), table, index)

        first = attended(0, own)
        inner = functional.relu(normalised(self.bn1, pointwise(self.conv1, first)))
        first = normalised(self.bnorm0, first + pointwise(self.conv2, inner))
        second = attended(1, first)
        result = normalised(self.bnorm1, first + second)
        return centres, normalised(self.bnorm2, result + own), picked


class ElementwiseBlock(nn.Module):
    """EM(d): two linear layers per point with batch normalisation, residual.

    Args:
        width: channels d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm1d(width) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, d) to (B, N, d)."""
        inner = functional.relu(normalised(self.bn1, pointwise(self.conv1, features)))
        inner = functional.relu(normalised(self.bn2, pointwise(self.conv2, inner)))
        return normalised(self.bn3, features + inner)
