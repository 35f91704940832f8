"""The two-hand network: palms in a whole picture or a crop, keypoints of both hands, the way from wrist to wrist.

Two steps. A heat map over the picture says where a palm is, whichever hand it belongs to. What is read at a point of
it describes two hands at once: the one there (where two lie over each other, the one in front) and the other hand of
the person, if there is one; so a hidden hand needs no place of its own on the map. Then each of these palms is looked
at in a grid laid along it, turned and sized as it is, which gives 21 keypoints, side and the way to the other wrist.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import KEYPOINT_COUNT

from .compact_encoder import EfficientNetLite0

TRAINED_PIXELS = 160
"""Pixels a side of the pictures that the network is trained on. It runs on any multiple of 32; what counts is how large
the hands in it are."""

HEAT_STRIDE = 4
"""Pixels between neighbours of the heat map and of the masks."""

PYRAMID_CHANNELS = 64
EMBEDDING = 256
GRID = 8
"""Places a side of the grid along a palm."""

# What the grid covers, in palm lengths: sideways, and from below the wrist to beyond the fingertips.
_GRID_SIDE, _GRID_DOWN, _GRID_UP = 1.5, 1.2, 1.9
_TRUNK_CHANNELS = (320, 112, 40, 24)  # coarse to fine
# Logarithms of the spreads (Laplace scales, palm lengths) stay between these.
_LOG_SPREAD = (-4.0, 1.5)
_SIZE_UNIT = 32.0
_REACH_UNIT = 16.0


class PalmMaps(NamedTuple):
    """What the network sees in B pictures.

    Args:
        heat: (B, S/4, S/4) logits of a palm's centre. masks: (B, 2, S/4, S/4) logits of the left and the right hand as
        seen. pyramid: three maps (B, 64, ...) at strides 4, 8 and 16. deep: (B, 320, S/32, S/32), the trunk's last map.
    """

    heat: Tensor
    masks: Tensor
    pyramid: tuple[Tensor, Tensor, Tensor]
    deep: Tensor


class Palms(NamedTuple):
    """Palms of B pictures at K points each; pixels of the network's picture.

    The first index after K is the role: 0 the hand at the point, 1 the person's other hand.

    Args:
        centre: (B, K, 2, 2) pixels. size: (B, K, 2) pixels of one palm length at the palm's depth. up: (B, K, 2, 2)
            from wrist to knuckles, palm lengths, shorter than 1 where the palm is seen at a slant.
        spread: (B, K, 2) Laplace scale of the centre, palm lengths. right: (B, K) log odds that the hand at the point
            is a right one. other: (B, K) log odds that the person's other hand is in the picture.
        embedding: (B, K, 256) for :meth:`TwoHandNetwork.hands`.
    """

    centre: Tensor
    size: Tensor
    up: Tensor
    spread: Tensor
    right: Tensor
    other: Tensor
    embedding: Tensor


class HandReadings(NamedTuple):
    """Hands of B pictures along N palms each.

    Args:
        pixels: (B, N, 21, 2) of the network's picture. depth: (B, N, 21) from the wrist, palm lengths.
        spread, depth_spread: (B, N, 21) Laplace scales of both, palm lengths. size: (B, N) pixels of a palm length.
        right: (B, N) log odds of a right hand. hand: (B, N) log odds that a hand is there.
        wrist_offset: (B, N, 3) from this hand's wrist to the other hand's, palm lengths, axes of the camera.
        wrist_offset_spread: its
        Laplace scales.
    """

    pixels: Tensor
    depth: Tensor
    spread: Tensor
    depth_spread: Tensor
    size: Tensor
    right: Tensor
    hand: Tensor
    wrist_offset: Tensor
    wrist_offset_spread: Tensor


class _Separable(nn.Module):
    """Depthwise 3x3, pointwise, group norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.pointwise(self.depthwise(x))))


class TwoHandNetwork(nn.Module):
    """See the module; 3.9 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        width = PYRAMID_CHANNELS
        self.trunk = EfficientNetLite0()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in _TRUNK_CHANNELS)
        self.smooth = nn.ModuleList(_Separable(width) for _ in range(3))
        self.fine = _Separable(width)
        self.maps = nn.Conv2d(width, 3, 1)
        self.point = nn.Sequential(
            nn.Linear(3 * width + 2 * _TRUNK_CHANNELS[0], EMBEDDING),
            nn.ReLU(),
            nn.Linear(EMBEDDING, EMBEDDING),
            nn.ReLU(),
        )
        self.palm = nn.Linear(EMBEDDING, 14)
        self.grid = nn.Sequential(
            nn.Conv2d(3 * width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.role = nn.Linear(EMBEDDING, 2 * EMBEDDING)
        self.along = nn.Linear(width * (GRID // 2) ** 2, EMBEDDING)
        self.mix = nn.Sequential(nn.Linear(EMBEDDING, EMBEDDING), nn.ReLU())
        self.hand = nn.Linear(EMBEDDING, 5 * KEYPOINT_COUNT + 9)
        with torch.no_grad():
            for layer in (self.maps, self.palm, self.hand):
                assert layer.bias is not None
                layer.weight.normal_(std=0.01)
                layer.bias.fill_(-4.0 if layer is self.maps else 0.0)  # nearly all places are no palm

    def train(self, mode: bool = True) -> TwoHandNetwork:
        """As for every module, but the trunk's normalisation keeps the statistics it was made with."""
        super().train(mode)
        self.trunk.eval()
        return self

    def channels_last(self) -> TwoHandNetwork:
        """The same with its weights laid out as convolutions on a CPU like them best."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def forward(self, images: Tensor) -> PalmMaps:
        """Maps of pictures (B, 3, S, S), RGB, 0 to 255, S a multiple of 32."""
        levels = self.trunk((images - 127.0) / 128.0)
        merged = self.lateral[0](levels[0])
        pyramid: list[Tensor] = []
        for k in (1, 2, 3):
            merged = self.lateral[k](levels[k]) + functional.interpolate(merged, scale_factor=2.0)
            pyramid.append(self.smooth[k - 1](merged))
        maps = self.maps(self.fine(pyramid[2]))
        return PalmMaps(maps[:, 0], maps[:, 1:], (pyramid[2], pyramid[1], pyramid[0]), levels[0])

    def palms(self, maps: PalmMaps, points: Tensor) -> Palms:
        """The palms seen from points (B, K, 2), pixels of the network's picture."""
        deep = maps.deep.mean((2, 3))[:, None].expand(-1, points.shape[1], -1)
        side = HEAT_STRIDE * maps.heat.shape[-1]
        seen = [sample(level, points, side) for level in (*maps.pyramid, maps.deep)]
        embedding = self.point(torch.cat([*seen, deep], dim=-1))
        out = self.palm(embedding).float()
        size = _SIZE_UNIT * torch.exp(out[..., 0:2].clamp(-4, 3))
        own = points + _REACH_UNIT * out[..., 2:4]
        # The other palm is told in palm lengths of this one.
        other = points + size[..., :1] * out[..., 4:6] * 2
        up = out[..., 6:10].unflatten(-1, (2, 2))
        spread = torch.exp(out[..., 10:12].clamp(*_LOG_SPREAD))
        return Palms(torch.stack([own, other], -2), size, up, spread, out[..., 12], out[..., 13], embedding)

    def hands(
        self, maps: PalmMaps, centre: Tensor, size: Tensor, up: Tensor, embedding: Tensor, role: Tensor
    ) -> HandReadings:
        """The hands along palms.

        Args:
            centre, size, up: (B, N, 2), (B, N), (B, N, 2) of the palms as in :class:`Palms`. embedding: (B, N, 256) of
                the points from which they were seen. role: (B, N) int64, 0 the hand at that point, 1 the other one.
        """
        vector = self.along_palms(maps, centre, size, up, embedding, role)
        return self.told(vector, centre, size, up)

    def along_palms(
        self, maps: PalmMaps, centre: Tensor, size: Tensor, up: Tensor, embedding: Tensor, role: Tensor
    ) -> Tensor:
        """What is seen along palms, (B, N, 256); the arguments are those of :meth:`hands`."""
        up, right = _axes(up)
        steps = (torch.arange(GRID, device=centre.device, dtype=centre.dtype) + 0.5) / GRID
        across = (2 * steps - 1) * _GRID_SIDE
        along = _GRID_UP - steps * (_GRID_UP + _GRID_DOWN)
        spots = along[:, None, None] * up[:, :, None, None] + across[None, :, None] * right[:, :, None, None]
        spots = centre[:, :, None, None] + size[:, :, None, None, None] * spots
        batch, count = centre.shape[:2]
        side = HEAT_STRIDE * maps.heat.shape[-1]
        seen = torch.cat([sample(level, spots.flatten(1, 3), side) for level in maps.pyramid], dim=-1)
        seen = seen.view(batch * count, GRID, GRID, -1).permute(0, 3, 1, 2)
        told = self.role(embedding).unflatten(-1, (2, EMBEDDING))
        told = told.gather(2, role[..., None, None].expand(-1, -1, 1, EMBEDDING))[:, :, 0]
        return self.mix(functional.relu(self.along(self.grid(seen)).view(batch, count, -1) + told))

    def told(self, vector: Tensor, centre: Tensor, size: Tensor, up: Tensor) -> HandReadings:
        """The hands that vectors (B, N, 256) of :meth:`along_palms` tell of; the other arguments are those of it."""
        up, right = _axes(up)
        out = self.hand(vector).float()
        flat = out[..., : 2 * KEYPOINT_COUNT].unflatten(-1, (KEYPOINT_COUNT, 2))
        in_picture = flat[..., :1] * right[:, :, None] + flat[..., 1:] * up[:, :, None]
        pixels = centre[:, :, None] + size[:, :, None, None] * in_picture
        depth, spread, depth_spread = (
            out[..., k * KEYPOINT_COUNT : (k + 1) * KEYPOINT_COUNT] for k in (2, 3, 4)
        )  # fmt: skip
        rest = out[..., 5 * KEYPOINT_COUNT :]
        return HandReadings(
            pixels, depth, torch.exp(spread.clamp(*_LOG_SPREAD)), torch.exp(depth_spread.clamp(*_LOG_SPREAD)),
            size * torch.exp(rest[..., 0].clamp(-1, 1)), rest[..., 1], rest[..., 2], rest[..., 3:6] * 2,
            torch.exp(rest[..., 6:9].clamp(*_LOG_SPREAD)),
        )  # fmt: skip


def _axes(up: Tensor) -> tuple[Tensor, Tensor]:
    """``up`` (B, N, 2) with length 1, and what is to the right of it as seen, y down."""
    up = functional.normalize(up, dim=-1)
    return up, torch.stack([-up[..., 1], up[..., 0]], -1)


def sample(level: Tensor, points: Tensor, side: int) -> Tensor:
    """Bilinear samples of a map (B, C, H, W) at points (B, K, 2), pixels of the network's picture: (B, K, C).

    ``side`` is the picture's, pixels.

    Outside the picture the map goes on as it ends.
    """
    where = (points + 0.5) * (2 / side) - 1
    seen = functional.grid_sample(level, where[:, :, None].to(level.dtype), padding_mode="border", align_corners=False)
    return seen[..., 0].transpose(1, 2)
