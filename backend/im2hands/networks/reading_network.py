"""The reading network: the keypoints of one hand in a square crop along it, also where other hands hide parts of it.

The trunk is that of MediaPipe's hand landmark network (Bazarevsky, Zhang et al., "MediaPipe Hands: On-device Real-time
Hand Tracking", 2020), an EfficientNet-Lite without normalisation layers. The layers are the same, so training can
start from MediaPipe's weights. Two things differ. Where MediaPipe's network outputs the depth of a keypoint, this one
outputs its expected error (spread). And one block takes the side of the hand as an additional input, where it is known.

A further head, which a weights file may lack, reads points on the skin (``geometry.skin_points``) from the same feature
vector and the hand's keypoints, by whichever network these were read. It was taught right hands only: a left hand's
crop is mirrored for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import KEYPOINT_COUNT, SKIN_POINT_COUNT

from .compact_encoder import PointwiseConv

CROP_PIXELS = 224
"""Pixels along each side of a crop."""

FEATURES = 1152
"""Length of the feature vector of a crop, from which all outputs are computed."""

_STEM = 24
# Blocks: channels, kernel, stride, expansion.
_BLOCKS = (
    (16, 3, 1, 1), (24, 3, 2, 4), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6), (80, 3, 2, 6), (80, 3, 1, 6),
    (80, 3, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (192, 5, 2, 6), (192, 5, 1, 6), (192, 5, 1, 6),
    (192, 5, 1, 6),
)  # fmt: skip
SIDED_BLOCK = 8
"""The block to whose output the side of the hand is added."""

LOG_SPREAD = (-4.5, 1.0)
"""Limits of the logarithms of the spreads (Laplace scales, palm lengths)."""

SKIN_LOG_SPREAD = (-6.0, 0.0)
"""The same for points on the skin, shares of the crop's side."""

_SKIN_WIDTH, _SKIN_DROP = 512, 0.1
_FIRST_LOG_SPREAD = -3.0  # of an untaught head
_CORRECTION = 0.1  # size of its corrections, half crops


class CropReadings(NamedTuple):
    """Readings of N crops.

    Parameters
    ----------
    hand : (N,) float
        Log odds that a hand lies along the crop.
    right : (N,) float
        Log odds of a right hand.
    pixels : (N, 21, 2) float
        Keypoints, pixels of the crop.
    shape : (N, 21, 3) float
        Keypoints in space, metres, axes of the crop, any origin.
    spread : (N, 21) float
        Laplace scale of each coordinate of ``pixels``, palm lengths.
    """

    hand: Tensor
    right: Tensor
    pixels: Tensor
    shape: Tensor
    spread: Tensor


class SkinReadings(NamedTuple):
    """Points on the skin of the right hands in N crops, in the order of ``geometry.skin_points``.

    Parameters
    ----------
    pixels : (N, 128, 2) float
        Places, pixels of the crop; also of hidden points and beyond its edges.
    spread : (N, 128) float
        Laplace scale of each coordinate of ``pixels``, shares of the crop's side.
    visible : (N, 128) float
        Log odds that the picture shows the point.
    """

    pixels: Tensor
    spread: Tensor
    visible: Tensor


class SkinHead(nn.Module):
    """The head that reads points on the skin; 1.1 million parameters.

    A linear map of the keypoints gives the places roughly, and what the feature vector shows corrects them.

    Attributes
    ----------
    mean, deviation : (1152,) float
        Of the features it was taught with.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.carry = nn.Linear(2 * KEYPOINT_COUNT, 2 * SKIN_POINT_COUNT)
        self.first = nn.Linear(FEATURES + 2 * KEYPOINT_COUNT, _SKIN_WIDTH)
        self.second = nn.Linear(_SKIN_WIDTH, _SKIN_WIDTH)
        self.told = nn.Linear(_SKIN_WIDTH, 4 * SKIN_POINT_COUNT)  # x, y, logarithm of the spread, visibility
        self.drop = nn.Dropout(_SKIN_DROP)

    def forward(self, seen: Tensor, keypoints: Tensor) -> SkinReadings:
        """Read the points of N hands.

        Parameters
        ----------
        seen : (N, 1152) float
            Feature vectors of crops of right hands, or mirrored crops of left hands; the trunk was given the right
            side.
        keypoints : (N, 21, 2) float
            Keypoints of the hands in the definitions of ``CropReadings``, pixels of the (mirrored) crop.

        Returns
        -------
        SkinReadings
            Readings of the N crops.
        """
        half = CROP_PIXELS / 2
        flat = keypoints.flatten(1) / half - 1
        given = torch.cat([(seen - self.mean) / self.deviation, flat], dim=1)
        hidden = self.drop(functional.relu(self.first(given)))
        hidden = self.drop(functional.relu(self.second(hidden)) + hidden)
        told = self.told(hidden).unflatten(1, (SKIN_POINT_COUNT, 4))
        places = self.carry(flat).unflatten(1, (SKIN_POINT_COUNT, 2)) + _CORRECTION * told[..., :2]
        spread = torch.exp((told[..., 2] + _FIRST_LOG_SPREAD).clamp(*SKIN_LOG_SPREAD))
        return SkinReadings(half + half * places, spread, told[..., 3])


class SameConv(nn.Conv2d):
    """A convolution with bias whose output has size / stride of the input; odd padding goes right and below.

    Parameters
    ----------
    inputs : int
        Channels in.
    outputs : int
        Channels out.
    kernel : int
        Kernel size.
    stride : int
        Stride.
    groups : int
        Groups of channels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S), S a multiple of the stride, to (B, outputs, S / stride, S / stride)."""
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        if before == after:
            return functional.conv2d(x, self.weight, self.bias, self.stride, before, groups=self.groups)
        return self._conv_forward(functional.pad(x, (before, after, before, after)), self.weight, self.bias)


Layer = nn.Conv2d | nn.Linear


class Block(nn.Module):
    """Expansion (1x1), depthwise convolution (with the stride), projection (1x1); a residual where the shapes allow it.

    Parameters
    ----------
    inputs : int
        Channels in.
    outputs : int
        Channels out.
    kernel : int
        Kernel size of the depthwise convolution.
    stride : int
        Stride of the depthwise convolution.
    expansion : int
        Factor from the channels in to those of the depthwise convolution; 1 leaves the expansion out.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = PointwiseConv(inputs, inner) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.project = PointwiseConv(inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, S, S) to (B, outputs, S / stride, S / stride)."""
        hidden = functional.relu6(self.expand(x)) if self.expand is not None else x
        hidden = self.project(functional.relu6(self.depthwise(hidden)))
        return hidden + x if self.residual else hidden


class ReadingNetwork(nn.Module):
    """The reading network; 2.8 million parameters, and 1.1 million of the head for the skin.

    Attributes
    ----------
    skin : SkinHead or None
        The head that reads points on the skin. None in a network that was not taught them.
    """

    skin: SkinHead | None

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, _STEM, 3, 2)
        blocks, channels = [], _STEM
        for outputs, kernel, stride, expansion in _BLOCKS:
            blocks.append(Block(channels, outputs, kernel, stride, expansion))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.widen = PointwiseConv(channels, FEATURES)
        self.last = SameConv(FEATURES, FEATURES, 3, groups=FEATURES)
        self.hand, self.right = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 1)
        self.pixels = nn.Linear(FEATURES, 3 * KEYPOINT_COUNT)  # x, y, logarithm of the spread
        self.shape = nn.Linear(FEATURES, 3 * KEYPOINT_COUNT)
        self.side = nn.Parameter(torch.zeros(_BLOCKS[SIDED_BLOCK][0]))
        self.skin = None

    def add_skin(self) -> SkinHead:
        """Give the network an untaught head for the skin and return it."""
        self.skin = SkinHead()
        return self.skin

    def expect(self, names: Collection[str]) -> None:
        """Add the head that weights of these names hold; see ``weights.model_file.load_model``."""
        if any(name.startswith("skin.") for name in names):
            self.add_skin()

    def channels_last(self) -> ReadingNetwork:
        """Return the network with its weights in channels-last memory layout, for input in that layout."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def each_block(self) -> list[Block]:
        """Return the blocks in order, from the picture on."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def layers(self) -> list[Layer]:
        """Return all layers with weights and biases, in the order in which MediaPipe's model uses them."""
        found: list[Layer] = [self.stem]
        for block in self.each_block():
            found += [part for part in (block.expand, block.depthwise, block.project) if part is not None]
        return [*found, self.widen, self.last, self.right, self.hand, self.pixels, self.shape]

    def freeze(self, blocks: int) -> None:
        """Exclude the stem and the first blocks from training.

        Parameters
        ----------
        blocks : int
            Number of blocks; 0 freezes nothing, not even the stem.
        """
        if blocks:
            for module in (self.stem, *self.blocks[:blocks]):
                module.requires_grad_(False)

    def see(self, image: Tensor, side: Tensor | None = None) -> Tensor:
        """Compute the feature vectors of crops.

        Parameters
        ----------
        image : (N, 3, 224, 224) float
            Crops, RGB in [0, 1].
        side : (N,) float or None
            Side of the hand to read: 1 right, -1 left, 0 either. None for either in all crops.

        Returns
        -------
        (N, 1152) float
            Feature vectors, for ``read``.
        """
        x = functional.relu6(self.stem(image))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number == SIDED_BLOCK and side is not None:
                x = x + side[:, None, None, None] * self.side[None, :, None, None]
        x = functional.relu6(self.last(functional.relu6(self.widen(x))))
        return x.mean(dim=(2, 3))

    def read(self, seen: Tensor) -> CropReadings:
        """Compute the readings from feature vectors.

        Parameters
        ----------
        seen : (N, 1152) float
            Feature vectors, from ``see``.

        Returns
        -------
        CropReadings
            Readings of the N crops.
        """
        pixels = self.pixels(seen).unflatten(1, (KEYPOINT_COUNT, 3))
        shape = self.shape(seen).unflatten(1, (KEYPOINT_COUNT, 3))
        return CropReadings(
            self.hand(seen)[:, 0], self.right(seen)[:, 0], pixels[..., :2], shape,
            torch.exp(pixels[..., 2].clamp(*LOG_SPREAD)),
        )  # fmt: skip

    def forward(self, image: Tensor, side: Tensor | None = None) -> CropReadings:
        """Read crops.

        Parameters
        ----------
        image : (N, 3, 224, 224) float
            Crops, RGB in [0, 1].
        side : (N,) float or None
            Side of the hand to read; see ``see``.

        Returns
        -------
        CropReadings
            Readings of the N crops.
        """
        return self.read(self.see(image, side))
