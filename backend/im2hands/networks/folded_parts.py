"""The part networks of given hands: what does not depend on the query point is folded into the first layer's bias.

A query then costs three products with 64 x 64 matrices for each bone that is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from im2hands.geometry.bones import BONE_COUNT

HIDDEN = 64
"""Width of the hidden layers."""

_SLOPE = 0.1


@dataclass
class FoldedParts:
    """The part networks of B hands, folded; see ``part_decoder.PartDecoder.fold``.

    Parameters
    ----------
    first : sequence of 16 (64, 3) float
        First layer of each bone.
    bias : sequence of 16 (B, 64) float
        Bias of the first layer of each bone, for each hand.
    weights : sequence of 4 sequences of 16 (out, in) float
        Weights of the four later layers.
    biases : sequence of 4 sequences of 16 (out,) float
        Biases of the four later layers.
    image_features : int
        Columns of the third layer that read image features.
    """

    first: Sequence[Tensor]
    bias: Sequence[Tensor]
    weights: Sequence[Sequence[Tensor]]
    biases: Sequence[Sequence[Tensor]]
    image_features: int = 0
    _stacks: StackedParts | None = field(default=None, repr=False)

    @classmethod
    def stack(
        cls, first: Tensor, bias: Tensor, weights: Iterable[Tensor], biases: Iterable[Tensor], image_features: int = 0
    ) -> FoldedParts:
        """Make folded networks from tensors that are stacked over bones.

        Parameters
        ----------
        first : (16, 64, 3) float
            First layers.
        bias : (B, 16, 64) float
            Biases of the first layers.
        weights : iterable of 4 (16, out, in) float
            Weights of the four later layers.
        biases : iterable of 4 (16, out) float
            Biases of the four later layers.
        image_features : int
            Columns of the third layer that read image features.
        """
        # The stacks are unbound once: each indexing of a stack would cost a gradient of the full size.
        return cls(
            first.unbind(0),
            bias.unbind(1),
            [w.unbind(0) for w in weights],
            [b.unbind(0) for b in biases],
            image_features,
        )

    def part_logits(self, bone: int, hand: Tensor | None, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Compute the logits of one bone.

        Parameters
        ----------
        bone : int
            The bone, 0 to 15.
        hand : (N,) int64 or None
            Which of the B hands each row belongs to; None for hand 0.
        local : (N, 3) float
            Points in that bone's straight frame, query-space units.
        image : (N, 19) float or None
            Image features of the points, if the network reads any.

        Returns
        -------
        (N,) float
            Logits.

        Raises
        ------
        ValueError
            The network needs image features and none are given.
        """
        bias = self.bias[bone][0] if hand is None else self.bias[bone][hand]
        # Operations are in place where neither the result nor the gradient needs the input.
        hidden = functional.leaky_relu_(torch.addmm(bias, local, self.first[bone].T), negative_slope=_SLOPE)
        for layer in range(3):
            weight, bias = self.weights[layer][bone], self.biases[layer][bone]
            base = hidden + bias
            if layer == 1 and self.image_features:
                if image is None:
                    raise ValueError("this part decoder needs image features")
                base.addmm_(image, weight[:, HIDDEN:].T)
            hidden = functional.leaky_relu_(base.addmm_(hidden, weight[:, :HIDDEN].T), negative_slope=_SLOPE)
        return hidden @ self.weights[3][bone][0] + self.biases[3][bone][0]

    def all_logits(self, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Compute the logits of all bones at N points of each of the B hands.

        This makes few large products, which suits accelerators.

        Parameters
        ----------
        local : (B, N, 16, 3) float
            Points in the bones' straight frames, query-space units.
        image : (B, N, 19) float or None
            Image features of the points, if the network reads any.

        Returns
        -------
        (B, N, 16) float
            Logits.

        Raises
        ------
        ValueError
            The network needs image features and none are given.
        """
        batch, count = local.shape[:2]

        by_bone = local.permute(2, 0, 1, 3).flatten(1, 2)
        images = [] if image is None else [image.flatten(0, 1)]
        return self.stacked().logits(by_bone, images).view(BONE_COUNT, batch, count).movedim(0, -1)

    def stacked(self) -> StackedParts:
        """The same networks with their layers stacked over bones; made once."""
        if self._stacks is None:
            self._stacks = StackedParts(
                torch.stack(list(self.first)).mT,
                torch.stack(list(self.bias)),
                [torch.stack(list(layer)).mT for layer in self.weights],
                [torch.stack(list(layer))[:, None] for layer in self.biases],
                self.image_features,
            )
        return self._stacks

    def pair_logits(self, bones: Tensor, hands: Tensor, local: Tensor, image: Tensor | None = None) -> Tensor:
        """Compute the logits of (point, bone) pairs that are sorted by bone.

        Parameters
        ----------
        bones : (P,) int64
            Bone of each pair, ascending.
        hands : (P,) int64
            Hand of each pair.
        local : (P, 3) float
            Point in the bone's straight frame, query-space units.
        image : (P, 19) float or None
            Image features of the point, if the network reads any.

        Returns
        -------
        (P,) float
            Logits.
        """
        counts = torch.bincount(bones, minlength=BONE_COUNT).tolist()
        parts, start = [], 0
        for bone, count in enumerate(counts):
            if count:
                rows = slice(start, start + count)
                parts.append(self.part_logits(bone, hands[rows], local[rows], None if image is None else image[rows]))
            start += count
        return torch.cat(parts) if parts else local.new_zeros(0)


@dataclass
class StackedParts:
    """P part networks in few large products, which suits accelerators; the bones of one side, or of several sides.

    Parameters
    ----------
    first : (P, 3, 64) float
        First layers.
    bias : (P, B, 64) float
        Their biases, for each hand.
    weights : list of 4 (P, in, out) float
        Later layers.
    biases : list of 4 (P, 1, out) float
        Their biases.
    image_features : int
        Rows of the third layer that read image features.
    """

    first: Tensor
    bias: Tensor
    weights: list[Tensor]
    biases: list[Tensor]
    image_features: int

    @classmethod
    def joined(cls, sides: Sequence[StackedParts]) -> StackedParts:
        """Put the networks of several sides one after the other."""
        return cls(
            torch.cat([own.first for own in sides]),
            torch.cat([own.bias for own in sides]),
            [torch.cat(layers) for layers in zip(*(own.weights for own in sides), strict=True)],
            [torch.cat(layers) for layers in zip(*(own.biases for own in sides), strict=True)],
            sides[0].image_features,
        )

    def logits(self, local: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Compute the logits of all networks at N points of each of the B hands.

        Parameters
        ----------
        local : (P, B N, 3) float
            Points in the bones' straight frames, query-space units.
        images : sequence of (B N, 19) float
            Image features of the points, for each side; empty if the networks read none.

        Returns
        -------
        (P, B N) float
            Logits.

        Raises
        ------
        ValueError
            The networks need image features and none are given.
        """
        if self.image_features and not images:
            raise ValueError("this part decoder needs image features")
        count = local.shape[1] // max(self.bias.shape[1], 1)
        spread = self.bias[:, :, None].expand(-1, -1, count, -1).flatten(1, 2)
        hidden = functional.leaky_relu_(torch.baddbmm(spread, local, self.first), negative_slope=_SLOPE)
        for layer in range(3):
            weight = self.weights[layer]
            base = hidden + self.biases[layer]
            if layer == 1 and self.image_features:
                own = len(base) // len(images)
                for side, image in enumerate(images):
                    parts = slice(side * own, (side + 1) * own)
                    base[parts].baddbmm_(image.expand(own, -1, -1), weight[parts, HIDDEN:])
            hidden = functional.leaky_relu_(base.baddbmm_(hidden, weight[:, :HIDDEN]), negative_slope=_SLOPE)
        return torch.baddbmm(self.biases[3], hidden, self.weights[3])[..., 0]
