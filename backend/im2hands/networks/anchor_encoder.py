"""The anchor encoder: points on a hand's initial surface to anchor features and one hand code.

It is the encoder of AIR-Nets (Giebenhain and Goldluecke, 3DV 2021), as Im2Hands (Lee et al., CVPR 2023) uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .pair_attention import TwoLayers
from .vector_attention import ElementwiseBlock, SetAbstraction, VectorAttentionBlock


@dataclass(frozen=True)
class AnchorSizes:
    """Sizes of the anchor encoder; the defaults are the published ones.

    Parameters
    ----------
    inputs : int
        Channels of an anchor: its image features and its one-hot side.
    reduced : int
        Channels up to the attention of the first level, after which ``fc1`` brings them to ``width``.
    width : int
        Channels from there on, also of the anchor features and the hand code.
    counts : (int, int)
        Anchors kept at the two levels.
    neighbours : int
        Neighbours that the local attention reads.
    final_layers : int
        Attention layers over all kept anchors.
    """

    inputs: int = 34
    reduced: int = 120
    width: int = 256
    counts: tuple[int, int] = (256, 128)
    neighbours: int = 16
    final_layers: int = 3


@dataclass(frozen=True)
class EncodedAnchors:
    """The encoded anchors of B hands.

    Parameters
    ----------
    code : (B, width) float
        Hand code z.
    positions : (B, n, 3) float
        Kept anchors, in the frame and unit of the input.
    features : (B, n, width) float
        Features of the kept anchors.
    picked : tuple of (B, count) int64
        Per level, the kept points as indices into the points of the level before.
    begin : (B, P, reduced) float
        Features of all anchors after the first attention.
    levels : tuple of (B, count, channels) float
        Per level, the features right after the set abstraction.
    """

    code: Tensor
    positions: Tensor
    features: Tensor
    picked: tuple[Tensor, ...]
    begin: Tensor
    levels: tuple[Tensor, ...]


class AnchorEncoder(nn.Module):
    """Local attention and subsampling, twice, then attention among all anchors that are kept.

    Both hands may be given as one batch. In evaluation mode each hand's result depends on that hand only. In training
    the batch normalisation sees both hands, just as its running averages serve both hands later.

    Parameters
    ----------
    sizes : AnchorSizes or None
        Sizes of the encoder; None for the published ones.
    """

    def __init__(self, sizes: AnchorSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or AnchorSizes()
        reduced, width, near = sizes.reduced, sizes.width, sizes.neighbours
        self.enc_sdf = nn.Linear(sizes.inputs, reduced)
        self.transformer_begin = VectorAttentionBlock(reduced, near)
        self.transition_downs = nn.ModuleList(
            _Down(SetAbstraction(channels, count, near))
            for channels, count in zip((reduced, width), sizes.counts, strict=True)
        )
        self.elementwise_extras = nn.ModuleList(ElementwiseBlock(channels) for channels in (reduced, width))
        self.transformer_downs = nn.ModuleList(VectorAttentionBlock(channels, near) for channels in (reduced, width))
        self.elementwise = nn.ModuleList(ElementwiseBlock(width) for _ in range(2))
        self.fc1 = nn.Linear(reduced, width)
        self.final_transformers = nn.ModuleList(VectorAttentionBlock(width, None) for _ in range(sizes.final_layers))
        self.final_elementwise = nn.ModuleList(ElementwiseBlock(width) for _ in range(sizes.final_layers))
        self.fc_middle = TwoLayers(width, width)

    def forward(
        self,
        positions: Tensor,
        features: Tensor,
        *,
        guard: float | None = None,
        precision: torch.dtype | None = None,
    ) -> EncodedAnchors:
        """Encode the anchors of B hands.

        Parameters
        ----------
        positions : (B, P, 3) float
            Anchors, at least ``counts[0]`` a hand. Camera frame with y and z negated, relative to the centre of both
            hands' anchors, in units of ``RefinedSizes.unit``.
        features : (B, P, inputs) float
            Features of the anchors.
        guard : float or None
            See ``farthest_points.farthest_points``.
        precision : torch.dtype or None
            Precision of the products over pairs of anchors; see ``pair_attention.PairAttention``.

        Returns
        -------
        EncodedAnchors
            Hand codes and anchor features.

        Raises
        ------
        ValueError
            There are too few anchors.
        """
        begin = self.transformer_begin(positions, self.enc_sdf(features), precision)
        features, picked, levels = begin, [], []
        for level in range(2):
            positions, features, index = self.transition_downs[level](positions, features, guard, precision)
            picked.append(index)
            levels.append(features)
            features = self.elementwise_extras[level](features)
            features = self.transformer_downs[level](positions, features, precision)
            if level == 0:
                features = self.fc1(features)
            features = self.elementwise[level](features)
        for attention, elementwise in zip(self.final_transformers, self.final_elementwise, strict=True):
            features = elementwise(attention(positions, features, precision))
        code = self.fc_middle(features.amax(1))
        return EncodedAnchors(code, positions, features, tuple(picked), begin, tuple(levels))


class _Down(nn.Module):
    """Holds a set abstraction under its published name ``sa``."""

    def __init__(self, sa: SetAbstraction) -> None:
        super().__init__()
        self.sa = sa

    def forward(
        self, positions: Tensor, features: Tensor, guard: float | None, precision: torch.dtype | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.sa(positions, features, guard=guard, precision=precision)
