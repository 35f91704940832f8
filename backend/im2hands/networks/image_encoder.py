"""The published image encoder: a ResNet-50 and two up-sampling decoders (specification section 5).

Parameter names are those of the published checkpoints: ``resnet.*`` as in torchvision, ``hms_decoder.*`` (heat maps)
and ``dp_decoder.*`` (dense pose and masks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

DECODER_CHANNELS = 128
HEATMAP_CHANNELS = 42
MASK_CHANNELS = 2
DENSE_CHANNELS = 6
_EXPANSION = 4
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


@dataclass(frozen=True)
class EncoderSizes:
    """What the networks behind an image encoder must know of it; the defaults are the published encoder's.

    Args:
        channels: of the maps of both decoders. image: channels of the finest image map. coarsest, finest: pixels a side
            of the first and the last map.
    """

    channels: int = DECODER_CHANNELS
    image: int = 256
    coarsest: int = 8
    finest: int = 64


class EncoderMaps(NamedTuple):
    """Feature maps of B images, coarse to fine: 8x8, 16x16, 32x32 and 64x64 for an image of 256x256.

    Args:
        image: (B, 2048, 8, 8), (B, 1024, 16, 16), (B, 512, 32, 32), (B, 256, 64, 64).
        heatmap, dense: four maps each, 128 channels, of the two decoders.
    """

    image: tuple[Tensor, Tensor, Tensor, Tensor]
    heatmap: tuple[Tensor, Tensor, Tensor, Tensor]
    dense: tuple[Tensor, Tensor, Tensor, Tensor]


class EncoderHeads(NamedTuple):
    """Outputs of the decoders' final layers, raw: (B, 42, H, H), (B, 2, H, H), (B, 6, H, H); published H is 64."""

    heatmaps: Tensor
    masks: Tensor
    dense: Tensor


class Bottleneck(nn.Module):
    """A residual block of ResNet-50 (v1.5): 1x1, 3x3 (with the stride), 1x1 convolutions.

    Args:
        channels_in: of the input. width: of the 3x3 convolution; the output has four times as many channels.
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
    """The ResNet-50 trunk, under torchvision's parameter names. ``fc`` belongs to the checkpoints but is not used."""

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
        """(B, 3, 256, 256) to the outputs of layer4, layer3, layer2, layer1 (coarse to fine)."""
        hidden = functional.relu(self.bn1(self.conv1(image)))
        x4 = self.layer1(functional.max_pool2d(hidden, 3, 2, 1))
        x3 = self.layer2(x4)
        x2 = self.layer3(x3)
        return self.layer4(x2), x2, x3, x4


class MapDecoder(nn.Module):
    """Four stages of up-sampling from the coarsest map; each is convolution, ReLU, BatchNorm, in this order.

    Args:
        channels_in: of the coarsest map. head_channels: outputs of the final layer, which the hand networks do not use.
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
        """(B, channels_in, H, W) to the outputs of the four stages, (B, 128, H, W) to (B, 128, 8 H, 8 W)."""
        maps = [self.models[0](coarsest)]
        for stage in self.models[1:]:
            maps.append(stage(maps[-1]))
        return maps[0], maps[1], maps[2], maps[3]


class PictureEncoder(nn.Module):
    """What all image encoders have: two decoders, ``hms_decoder`` and ``dp_decoder``, with a head each."""

    sizes: EncoderSizes
    hms_decoder: nn.Module
    dp_decoder: nn.Module

    def heads(self, maps: EncoderMaps) -> EncoderHeads:
        """What the decoders are trained for beside the hand networks: heat maps, masks and dense colours, raw."""
        dense = self.dp_decoder.final_layer(maps.dense[-1])  # type: ignore[operator]
        masks, colours = torch.split(dense, [MASK_CHANNELS, DENSE_CHANNELS], dim=1)
        return EncoderHeads(self.hms_decoder.final_layer(maps.heatmap[-1]), masks, colours)  # type: ignore[operator]


class ImageEncoder(PictureEncoder):
    """The published image encoder (section 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = EncoderSizes()
        self.resnet = ResNet50()
        self.hms_decoder = MapDecoder(2048, HEATMAP_CHANNELS)
        self.dp_decoder = MapDecoder(2048, MASK_CHANNELS + DENSE_CHANNELS)

    def forward(self, image: Tensor) -> EncoderMaps:
        """Feature maps of images.

        Args:
            image: (B, 3, 256, 256), RGB, ImageNet-normalised (section 2.3).
        """
        maps = self.resnet(image)
        return EncoderMaps(maps, self.hms_decoder(maps[0]), self.dp_decoder(maps[0]))
