"""The trunk of MediaPipe's hand landmark network: an EfficientNet-Lite without normalisation layers.

The layers are those of MediaPipe's file (Bazarevsky, Zhang et al., "MediaPipe Hands: On-device Real-time Hand
Tracking", 2020), so networks that see with this trunk can start from MediaPipe's weights. It is fully convolutional.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .compact_encoder import PointwiseConv

_STEM = 24
# Blocks: channels, kernel, stride, expansion.
_BLOCKS = (
    (16, 3, 1, 1), (24, 3, 2, 4), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6), (80, 3, 2, 6), (80, 3, 1, 6),
    (80, 3, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (192, 5, 2, 6), (192, 5, 1, 6), (192, 5, 1, 6),
    (192, 5, 1, 6),
)  # fmt: skip
TRUNK_CHANNELS = tuple(block[0] for block in _BLOCKS)
"""Channels of the output of each block."""

_TAPS = (2, 4, 10, 14)  # the last block of each resolution, fine to coarse
MAP_CHANNELS = (192, 112, 40, 24)
"""Channels of the maps of four resolutions, coarse to fine."""


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


class LandmarkTrunk(nn.Module):
    """The stem and the blocks of MediaPipe's hand landmark network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, _STEM, 3, 2)
        blocks, channels = [], _STEM
        for outputs, kernel, stride, expansion in _BLOCKS:
            blocks.append(Block(channels, outputs, kernel, stride, expansion))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)

    def each_block(self) -> list[Block]:
        """Return the blocks in order, from the picture on."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def trunk_layers(self) -> list[Layer]:
        """Return the trunk's layers with weights and biases, in the order in which MediaPipe's model uses them."""
        found: list[Layer] = [self.stem]
        for block in self.each_block():
            found += [part for part in (block.expand, block.depthwise, block.project) if part is not None]
        return found

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

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the maps of four resolutions, coarse to fine.

        Parameters
        ----------
        image : (B, 3, H, W) float
            RGB in [0, 1]; H and W are multiples of 32.

        Returns
        -------
        tuple of four maps
            At 1/32, 1/16, 1/8 and 1/4 of the resolution, with the channels of :data:`MAP_CHANNELS`.
        """
        x = functional.relu6(self.stem(image))
        found = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                found.append(x)
        return found[3], found[2], found[1], found[0]
