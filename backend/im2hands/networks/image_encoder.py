"""The published image encoder: a ResNet-50 and two upsampling decoders.

Parameter names are those of the published checkpoints: ``resnet.*`` as in torchvision, ``hms_decoder.*`` (heat maps)
and ``dp_decoder.*`` (dense pose and masks). The decoders come from IntagHand (Li et al., CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .inference_copy import inference_copy

DECODER_CHANNELS = 128
HEATMAP_CHANNELS = 42
MASK_CHANNELS = 2
DENSE_CHANNELS = 6
_EXPANSION = 4  # channels of a block, as a multiple of its width
# Stages of the trunk: width, blocks, stride of the first block.
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


@dataclass(frozen=True)
class EncoderSizes:
    """Sizes of the maps of an image encoder, for the networks that read them; the defaults are the published ones.

    Parameters
    ----------
    channels : int
        Channels of the maps of both decoders.
    image : int
        Channels of the trunk's finest map.
    coarsest : int
        Pixels along each side of the coarsest map.
    finest : int
        Pixels along each side of the finest map.
    """

    channels: int = DECODER_CHANNELS
    image: int = 256
    coarsest: int = 8
    finest: int = 64


class EncoderMaps(NamedTuple):
    """Feature maps of B images, four of each kind, coarse to fine.

    For the published encoder and images of 256 x 256 pixels they have 8 x 8, 16 x 16, 32 x 32 and 64 x 64 pixels.

    Parameters
    ----------
    image : tuple of four maps
        Maps of the trunk. Published: (B, 2048, 8, 8), (B, 1024, 16, 16), (B, 512, 32, 32), (B, 256, 64, 64).
    heatmap : tuple of four maps
        Maps of the heat map decoder, published with 128 channels each.
    dense : tuple of four maps
        Maps of the dense pose decoder, published with 128 channels each.
    """

    image: tuple[Tensor, Tensor, Tensor, Tensor]
    heatmap: tuple[Tensor, Tensor, Tensor, Tensor]
    dense: tuple[Tensor, Tensor, Tensor, Tensor]


class EncoderHeads(NamedTuple):
    """Outputs of the decoders' final layers, without activation; H is 64 in the published encoder.

    Parameters
    ----------
    heatmaps : (B, 42, H, H) float
        Heat maps of the keypoints of both hands.
    masks : (B, 2, H, H) float
        Masks of both hands.
    dense : (B, 6, H, H) float
        Dense colours (three channels for each hand).
    """

    heatmaps: Tensor
    masks: Tensor
    dense: Tensor


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (v1.5): 1x1, 3x3 (with the stride) and 1x1 convolutions.

    Parameters
    ----------
    channels_in : int
        Channels of the input.
    width : int
        Channels of the 3x3 convolution; the output has four times as many.
    stride : int
        Stride of the 3x3 convolution.
    """

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * _EXPANSION
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, 4 width, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        hidden = functional.relu(self.bn1(self.conv1(x)))
        hidden = functional.relu(self.bn2(self.conv2(hidden)))
        return functional.relu(self.bn3(self.conv3(hidden)) + shortcut)


class ResNet50(nn.Module):
    """The ResNet-50 trunk, under torchvision's parameter names.

    The layer ``fc`` is part of the published checkpoints but is not used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages, channels = [], 64
        for width, blocks, stride in _STAGES:
            stage = [Bottleneck(channels, width, stride)]
            channels = width * _EXPANSION
            stage += [Bottleneck(channels, width, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, 1000)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the outputs of the four stages, coarse to fine.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            RGB, ImageNet-normalised.

        Returns
        -------
        tuple of four maps
            Outputs of layer4, layer3, layer2 and layer1.
        """
        hidden = functional.relu(self.bn1(self.conv1(image)))
        x4 = self.layer1(functional.max_pool2d(hidden, 3, 2, 1))
        x3 = self.layer2(x4)
        x2 = self.layer3(x3)
        return self.layer4(x2), x2, x3, x4


class MapDecoder(nn.Module):
    """Upsampling decoder of four stages; each applies a convolution, ReLU and BatchNorm, in this order.

    Parameters
    ----------
    channels_in : int
        Channels of the trunk's coarsest map.
    head_channels : int
        Outputs of the final layer, which the hand networks do not use.
    channels : int
        Channels of the decoder's maps.
    """

    def __init__(self, channels_in: int, head_channels: int, channels: int = DECODER_CHANNELS) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.ReLU(), nn.BatchNorm2d(channels))
        others = [
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
                nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
                nn.ReLU(),
                nn.BatchNorm2d(channels),
            )
            for _ in range(3)
        ]
        self.models = nn.ModuleList([first, *others])
        self.final_layer = nn.Conv2d(channels, head_channels, 1)

    def forward(self, coarsest: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode the trunk's coarsest map.

        Parameters
        ----------
        coarsest : (B, channels_in, H, W) float
            The trunk's coarsest map.

        Returns
        -------
        tuple of four maps
            Outputs of the four stages, (B, channels, H, W) to (B, channels, 8 H, 8 W).
        """
        maps = [self.models[0](coarsest)]
        for stage in self.models[1:]:
            maps.append(stage(maps[-1]))
        return maps[0], maps[1], maps[2], maps[3]


class PictureEncoder(nn.Module):
    """Base of the image encoders: two decoders, ``hms_decoder`` and ``dp_decoder``, with a head each.

    Attributes
    ----------
    sizes : EncoderSizes
        Sizes of the maps.
    """

    sizes: EncoderSizes
    hms_decoder: nn.Module
    dp_decoder: nn.Module

    def seen(self, image: Tensor, precision: torch.dtype | None = None) -> EncoderMaps:
        """Compute the feature maps of images, for inference in a precision.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        precision : torch.dtype or None
            Precision of the published encoder's convolutions. None, or another encoder, uses the dtype of the weights.

        Returns
        -------
        EncoderMaps
            The maps, in the dtype of the images.
        """
        return self(image)

    def heads(self, maps: EncoderMaps) -> EncoderHeads:
        """Compute heat maps, masks and dense colours, on which an encoder is trained beside the hand networks.

        Parameters
        ----------
        maps : EncoderMaps
            Feature maps of the encoder.

        Returns
        -------
        EncoderHeads
            Outputs of the final layers, without activation.
        """
        dense = self.dp_decoder.final_layer(maps.dense[-1])  # type: ignore[operator]
        masks, colours = torch.split(dense, [MASK_CHANNELS, DENSE_CHANNELS], dim=1)
        return EncoderHeads(self.hms_decoder.final_layer(maps.heatmap[-1]), masks, colours)  # type: ignore[operator]


class ImageEncoder(PictureEncoder):
    """The published image encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = EncoderSizes()
        self.resnet = ResNet50()
        self.hms_decoder = MapDecoder(2048, HEATMAP_CHANNELS)
        self.dp_decoder = MapDecoder(2048, MASK_CHANNELS + DENSE_CHANNELS)
        # Names the weights that the copy was made of; in a tuple, so that it is no part of the network's state.
        self._rounded: tuple[tuple[object, ...], ImageEncoder] | None = None

    def seen(self, image: Tensor, precision: torch.dtype | None = None) -> EncoderMaps:
        """Compute the feature maps of images; see ``PictureEncoder.seen``."""
        if precision is None or precision == image.dtype:
            return self(image)
        maps = self._copy(precision)(image.to(precision, memory_format=torch.channels_last))
        return EncoderMaps(*(tuple(level.to(image) for level in kind) for kind in maps))  # type: ignore[arg-type]

    def _copy(self, precision: torch.dtype) -> ImageEncoder:
        """A copy whose convolutions have another dtype; made once."""
        made_of = (precision, *((value.data_ptr(), value._version) for value in self.state_dict().values()))
        if self._rounded is None or self._rounded[0] != made_of:
            self._rounded = None
            self._rounded = made_of, inference_copy(self, precision)
        return self._rounded[1]

    def forward(self, image: Tensor) -> EncoderMaps:
        """Compute the feature maps of images.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.

        Returns
        -------
        EncoderMaps
            Feature maps of the trunk and of both decoders.
        """
        maps = self.resnet(image)
        return EncoderMaps(maps, self.hms_decoder(maps[0]), self.dp_decoder(maps[0]))
