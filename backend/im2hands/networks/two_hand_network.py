"""The two-hand network: palms in a picture, the keypoints of both hands, and the offset from wrist to wrist.

It works in two steps. A heat map over the picture gives the probability of a palm, of whichever hand. The features at
a point of the map describe two hands: the one at that point (where two overlap, the one in front) and the same
person's other hand, if there is one. So a hidden hand needs no peak of its own on the map. Then each of these palms is
sampled on a grid that is laid along it, with its rotation and size. The samples give 21 keypoints, the side and the
offset to the other wrist.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import KEYPOINT_COUNT

from .compact_encoder import EfficientNetLite0

TRAINED_PIXELS = 160
"""Pixels along each side of the pictures in training.

The network takes any multiple of 32. What matters is that the hands in the picture are as large, in pixels.
"""

HEAT_STRIDE = 4
"""Pixels of the picture from one place of the heat map, or of the masks, to the next."""

PYRAMID_CHANNELS = 64
EMBEDDING = 256
GRID = 8
"""Sample points along each side of the grid on a palm."""

# Extent of the grid from the centre of the palm, palm lengths: to each side, towards the forearm, towards the tips.
_GRID_SIDE, _GRID_DOWN, _GRID_UP = 1.5, 1.2, 1.9
_TRUNK_CHANNELS = (320, 112, 40, 24)  # of its maps, coarse to fine
# Limits of the logarithms of the spreads (Laplace scales, palm lengths).
_LOG_SPREAD = (-4.0, 1.5)
# Pixels: the unit in which the network predicts palm lengths, and that of the offset from a point to its palm.
_SIZE_UNIT = 32.0
_REACH_UNIT = 16.0


class PalmMaps(NamedTuple):
    """Maps of B pictures of S x S pixels.

    Parameters
    ----------
    heat : (B, S/4, S/4) float
        Logits of the centre of a palm.
    masks : (B, 2, S/4, S/4) float
        Logits of the visible parts of left hands and of right hands.
    pyramid : tuple of three maps
        Feature maps (B, 64, ...) at strides 4, 8 and 16.
    deep : (B, 320, S/32, S/32) float
        Last map of the trunk.
    """

    heat: Tensor
    masks: Tensor
    pyramid: tuple[Tensor, Tensor, Tensor]
    deep: Tensor


class Palms(NamedTuple):
    """Palms of B pictures, two at each of K points; pixels are those of the network's picture.

    The index after K is the role: 0 the hand at the point, 1 the person's other hand.

    Parameters
    ----------
    centre : (B, K, 2, 2) float
        Centres of the palms, pixels.
    size : (B, K, 2) float
        Pixels of one palm length at the palm's depth.
    up : (B, K, 2, 2) float
        From wrist to knuckles in the picture, palm lengths; shorter than 1 where the palm is seen at a slant.
    spread : (B, K, 2) float
        Laplace scale of the centre, palm lengths.
    right : (B, K) float
        Log odds that the hand at the point is a right hand.
    other : (B, K) float
        Log odds that the person's other hand is in the picture.
    embedding : (B, K, 256) float
        Features of the point, for ``TwoHandNetwork.hands``.
    """

    centre: Tensor
    size: Tensor
    up: Tensor
    spread: Tensor
    right: Tensor
    other: Tensor
    embedding: Tensor


class HandReadings(NamedTuple):
    """Readings of the hands along N palms in each of B pictures.

    Parameters
    ----------
    pixels : (B, N, 21, 2) float
        Keypoints, pixels of the network's picture.
    depth : (B, N, 21) float
        Depth of the keypoints from the wrist, palm lengths.
    spread : (B, N, 21) float
        Laplace scale of each coordinate of ``pixels``, palm lengths.
    depth_spread : (B, N, 21) float
        Laplace scale of ``depth``, palm lengths.
    size : (B, N) float
        Pixels of one palm length.
    right : (B, N) float
        Log odds of a right hand.
    hand : (B, N) float
        Log odds that a hand is there.
    wrist_offset : (B, N, 3) float
        From this hand's wrist to the other hand's, camera axes, palm lengths.
    wrist_offset_spread : (B, N, 3) float
        Laplace scale of each coordinate of ``wrist_offset``, palm lengths.
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
    """Depthwise 3x3 convolution, pointwise convolution, group norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.pointwise(self.depthwise(x))))


class TwoHandNetwork(nn.Module):
    """The two-hand network; 3.9 million parameters."""

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
                # Nearly all places are no palm, so an untrained network finds none.
                layer.bias.fill_(-4.0 if layer is self.maps else 0.0)

    def train(self, mode: bool = True) -> TwoHandNetwork:
        """Set the training mode; the trunk stays in evaluation mode and keeps its normalisation statistics.

        Parameters
        ----------
        mode : bool
            True for training, False for evaluation.
        """
        super().train(mode)
        self.trunk.eval()
        return self

    def channels_last(self) -> TwoHandNetwork:
        """Return the network with its weights in channels-last memory layout, the fastest for convolutions on a CPU."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def folded(self) -> TwoHandNetwork:
        """Return a copy in which the trunk's normalisation layers are part of its convolutions, for inference only.

        It takes a third less time. Its outputs differ by rounding only.
        """
        made = deepcopy(self)
        made.trunk.fold()
        return made

    def forward(self, images: Tensor) -> PalmMaps:
        """Compute the maps of pictures.

        Parameters
        ----------
        images : (B, 3, S, S) float
            Pictures, RGB, 0 to 255; S is a multiple of 32.

        Returns
        -------
        PalmMaps
            Maps of the B pictures.
        """
        levels = self.trunk((images - 127.0) / 128.0)
        merged = self.lateral[0](levels[0])
        pyramid: list[Tensor] = []
        for k in (1, 2, 3):
            merged = self.lateral[k](levels[k]) + functional.interpolate(merged, scale_factor=2.0)
            pyramid.append(self.smooth[k - 1](merged))
        maps = self.maps(self.fine(pyramid[2]))
        return PalmMaps(maps[:, 0], maps[:, 1:], (pyramid[2], pyramid[1], pyramid[0]), levels[0])

    def palms(self, maps: PalmMaps, points: Tensor) -> Palms:
        """Compute the palms that the features at points describe.

        Parameters
        ----------
        maps : PalmMaps
            Maps of the B pictures.
        points : (B, K, 2) float
            Points, pixels of the network's picture.

        Returns
        -------
        Palms
            Two palms for each point.
        """
        deep = maps.deep.mean((2, 3))[:, None].expand(-1, points.shape[1], -1)
        side = HEAT_STRIDE * maps.heat.shape[-1]
        samples = [sample(level, points, side) for level in (*maps.pyramid, maps.deep)]
        embedding = self.point(torch.cat([*samples, deep], dim=-1))
        out = self.palm(embedding).float()
        size = _SIZE_UNIT * torch.exp(out[..., 0:2].clamp(-4, 3))
        own = points + _REACH_UNIT * out[..., 2:4]
        # The offset to the other palm is predicted in palm lengths of this one.
        other = points + size[..., :1] * out[..., 4:6] * 2
        up = out[..., 6:10].unflatten(-1, (2, 2))
        spread = torch.exp(out[..., 10:12].clamp(*_LOG_SPREAD))
        return Palms(torch.stack([own, other], -2), size, up, spread, out[..., 12], out[..., 13], embedding)

    def hands(
        self, maps: PalmMaps, centre: Tensor, size: Tensor, up: Tensor, embedding: Tensor, role: Tensor
    ) -> HandReadings:
        """Read the hands along palms.

        Parameters
        ----------
        maps : PalmMaps
            Maps of the B pictures.
        centre : (B, N, 2) float
            Centres of the palms, pixels; see ``Palms``.
        size : (B, N) float
            Pixels of one palm length.
        up : (B, N, 2) float
            Directions from wrist to knuckles.
        embedding : (B, N, 256) float
            Features of the points from which the palms were computed.
        role : (B, N) int64
            0 for the hand at that point, 1 for the person's other hand.

        Returns
        -------
        HandReadings
            The hands along the palms.
        """
        vector = self.palm_features(maps, centre, size, up, embedding, role)
        return self.told(vector, centre, size, up)

    def palm_features(
        self, maps: PalmMaps, centre: Tensor, size: Tensor, up: Tensor, embedding: Tensor, role: Tensor
    ) -> Tensor:
        """Compute the feature vectors of hands along palms.

        Parameters
        ----------
        maps : PalmMaps
            See ``hands``, as for the following.
        centre : (B, N, 2) float
            Centres of the palms, pixels.
        size : (B, N) float
            Pixels of one palm length.
        up : (B, N, 2) float
            Directions from wrist to knuckles.
        embedding : (B, N, 256) float
            Features of the points.
        role : (B, N) int64
            Role of the hand.

        Returns
        -------
        (B, N, 256) float
            Feature vectors, for ``told``.
        """
        up, right = _axes(up)
        steps = (torch.arange(GRID, device=centre.device, dtype=centre.dtype) + 0.5) / GRID
        across = (2 * steps - 1) * _GRID_SIDE
        along = _GRID_UP - steps * (_GRID_UP + _GRID_DOWN)
        spots = along[:, None, None] * up[:, :, None, None] + across[None, :, None] * right[:, :, None, None]
        spots = centre[:, :, None, None] + size[:, :, None, None, None] * spots
        batch, count = centre.shape[:2]
        side = HEAT_STRIDE * maps.heat.shape[-1]
        samples = torch.cat([sample(level, spots.flatten(1, 3), side) for level in maps.pyramid], dim=-1)
        samples = samples.view(batch * count, GRID, GRID, -1).permute(0, 3, 1, 2)
        of_role = self.role(embedding).unflatten(-1, (2, EMBEDDING))
        of_role = of_role.gather(2, role[..., None, None].expand(-1, -1, 1, EMBEDDING))[:, :, 0]
        return self.mix(functional.relu(self.along(self.grid(samples)).view(batch, count, -1) + of_role))

    def told(self, vector: Tensor, centre: Tensor, size: Tensor, up: Tensor) -> HandReadings:
        """Compute the readings from feature vectors.

        Parameters
        ----------
        vector : (B, N, 256) float
            Feature vectors, from ``palm_features``.
        centre : (B, N, 2) float
            Centres of the palms, pixels.
        size : (B, N) float
            Pixels of one palm length.
        up : (B, N, 2) float
            Directions from wrist to knuckles.

        Returns
        -------
        HandReadings
            The hands along the palms.
        """
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
    """``up`` (B, N, 2) normalised, and the unit vector to its right in the picture (y down)."""
    up = functional.normalize(up, dim=-1)
    return up, torch.stack([-up[..., 1], up[..., 0]], -1)


def sample(level: Tensor, points: Tensor, side: int) -> Tensor:
    """Sample a feature map at points; beyond the edge of the picture the map is continued with its edge values.

    Parameters
    ----------
    level : (B, C, H, W) float
        Feature map of the whole picture.
    points : (B, K, 2) float
        Points, pixels of the network's picture.
    side : int
        Pixels along each side of that picture.

    Returns
    -------
    (B, K, C) float
        Bilinear samples.
    """
    where = (points + 0.5) * (2 / side) - 1
    seen = functional.grid_sample(level, where[:, :, None].to(level.dtype), padding_mode="border", align_corners=False)
    return seen[..., 0].transpose(1, 2)
