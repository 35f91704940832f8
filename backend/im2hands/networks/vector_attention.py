"""Blocks over point clouds: transformer block, set abstraction and elementwise block.

They are those of AIR-Nets (Giebenhain and Goldluecke, 3DV 2021), of which the anchor encoder consists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .farthest_points import farthest_points, nearest_neighbours, take
from .pair_attention import PairAttention, TwoLayers


def pointwise(convolution: nn.Conv1d, features: Tensor) -> Tensor:
    """Apply a 1-D convolution with kernel size 1 to (..., C) features.

    Parameters
    ----------
    convolution : nn.Conv1d
        The convolution.
    features : (..., C) float
        Features.
    """
    return functional.linear(features, convolution.weight[..., 0], convolution.bias)


def normalised(norm: nn.BatchNorm1d, features: Tensor) -> Tensor:
    """Apply batch normalisation to the channels of (B, N, C) features.

    Parameters
    ----------
    norm : nn.BatchNorm1d
        The normalisation.
    features : (B, N, C) float
        Features.
    """
    return norm(features.flatten(0, 1)).view_as(features)


class VectorAttentionBlock(nn.Module):
    """Vector attention of every point to its neighbours, with residual and batch normalisation.

    Parameters
    ----------
    width : int
        Channels d.
    neighbours : int or None
        Points that each point attends to, itself included; None for all.
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

        Parameters
        ----------
        positions : (B, N, 3) float
            Positions of the points. Only their differences count.
        features : (B, N, d) float
            Features of the points.
        precision : torch.dtype or None
            Precision of the products over pairs; see ``pair_attention.PairAttention``.

        Returns
        -------
        (B, N, d) float
            Features after the block.
        """
        index = None if self.neighbours is None else nearest_neighbours(positions, positions, self.neighbours)
        pairs = PairAttention(self.fc_delta, self.fc_gamma, precision)
        table = pairs.table(positions, self.w_ks(features), self.w_vs(features))
        attended = pairs.attend(positions, pairs.queries(self.w_qs(features)), table, index)
        return normalised(self.bn, attended + features)


class SetAbstraction(nn.Module):
    """Subsampling of a point cloud: the farthest points, each with features gathered from its neighbours in two passes.

    Parameters
    ----------
    width : int
        Channels d.
    count : int
        Points n to keep.
    neighbours : int
        Neighbours of each kept point among all points, itself included.
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
        """Subsample point clouds.

        Parameters
        ----------
        positions : (B, P, 3) float
            Positions of the points.
        features : (B, P, d) float
            Features of the points.
        guard : float or None
            See ``farthest_points.farthest_points``.
        precision : torch.dtype or None
            Precision of the products over pairs; see ``pair_attention.PairAttention``.

        Returns
        -------
        positions : (B, n, 3) float
            Positions of the kept points.
        features : (B, n, d) float
            Their features.
        picked : (B, n) int64
            Their indices.
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
            # Delta takes neighbour minus centre here, the opposite of VectorAttentionBlock.
            pairs = PairAttention(self.fc_delta1, gamma, precision, sign=-1.0)
            table = pairs.table(positions, w_ks(features), w_vs(features))
            return pairs.attend(centres, pairs.queries(w_qs(queries)), table, index)

        first = attended(0, own)
        inner = functional.relu(normalised(self.bn1, pointwise(self.conv1, first)))
        first = normalised(self.bnorm0, first + pointwise(self.conv2, inner))
        second = attended(1, first)
        result = normalised(self.bnorm1, first + second)
        return centres, normalised(self.bnorm2, result + own), picked


class ElementwiseBlock(nn.Module):
    """Two linear layers for each point, with batch normalisation and residual.

    Parameters
    ----------
    width : int
        Channels d.
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
