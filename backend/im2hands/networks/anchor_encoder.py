"""The anchor encoder: a hand's surface points to a few hundred features and one hand code (specification 7.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .pair_attention import TwoLayers
from .vector_attention import ElementwiseBlock, SetAbstraction, VectorAttentionBlock


@dataclass(frozen=True)
class AnchorSizes:
    """Sizes of the anchor encoder; the defaults are the published ones.

    Args:
        inputs: channels of an anchor (image features and the one-hot side). reduced: channels down to the second
            level. width: channels from there on, of the anchor features and of the hand code. counts: anchors kept at
            the two levels. neighbours: of the local attention. final_layers: attention layers over all kept anchors.
    """

    inputs: int = 34
    reduced: int = 120
    width: int = 256
    counts: tuple[int, int] = (256, 128)
    neighbours: int = 16
    final_layers: int = 3


@dataclass(frozen=True)
class EncodedAnchors:
    """What the encoder knows of B hands.

    Args:
        code: (B, width), the hand code z. positions: (B, n, 3), the frame of the input, metres.
        features: (B, n, width). picked: per level (B, count) int64, indices into the points of the level before.
        begin: (B, P, reduced) features of all anchors. levels: features after each set abstraction.
    """

    code: Tensor
    positions: Tensor
    features: Tensor
    picked: tuple[Tensor, ...]
    begin: Tensor
    levels: tuple[Tensor, ...]


class AnchorEncoder(nn.Module):
    """Local attention and thinning out, twice, then attention among the anchors that are left.

    Both hands may be given as one batch: in evaluation each hand's result is its own. In training the batch
    normalisation then sees both hands, as it does later when its running averages serve both.
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

        Args:
            positions: (B, P, 3), centred camera frame (7.3), metres; P at least ``counts[0]``.
            features: (B, P, inputs). guard: see :func:`~im2hands.networks.farthest_points.farthest_points`.
            precision: of pairs of anchors, see :class:`~im2hands.networks.pair_attention.PairAttention`.

        Raises:
            ValueError: too few anchors.
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
    """Holds a set abstraction under its published name."""

    def __init__(self, sa: SetAbstraction) -> None:
        super().__init__()
        self.sa = sa

    def forward(
        self, positions: Tensor, features: Tensor, guard: float | None, precision: torch.dtype | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.sa(positions, features, guard=guard, precision=precision)
