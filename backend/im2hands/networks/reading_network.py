"""The reading network: the keypoints of one hand in a square crop along it, also where other hands hide parts of it.

The layers are those of MediaPipe's hand landmark network (``landmark_trunk``), so training can start from MediaPipe's
weights. Two things differ. Where MediaPipe's network outputs the depth of a keypoint, this one outputs its expected
error (spread). And one block takes the side of the hand as an additional input, where it is known.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import KEYPOINT_COUNT

from .compact_encoder import PointwiseConv
from .landmark_trunk import TRUNK_CHANNELS, LandmarkTrunk, Layer, SameConv

CROP_PIXELS = 224
"""Pixels along each side of a crop."""

FEATURES = 1152
"""Length of the feature vector of a crop, from which all outputs are computed."""

SIDED_BLOCK = 8
"""The block to whose output the side of the hand is added."""

LOG_SPREAD = (-4.5, 1.0)
"""Limits of the logarithms of the spreads (Laplace scales, palm lengths)."""


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


class ReadingNetwork(LandmarkTrunk):
    """The reading network; 2.8 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = PointwiseConv(TRUNK_CHANNELS[-1], FEATURES)
        self.last = SameConv(FEATURES, FEATURES, 3, groups=FEATURES)
        self.hand, self.right = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 1)
        self.pixels = nn.Linear(FEATURES, 3 * KEYPOINT_COUNT)  # x, y, logarithm of the spread
        self.shape = nn.Linear(FEATURES, 3 * KEYPOINT_COUNT)
        self.side = nn.Parameter(torch.zeros(TRUNK_CHANNELS[SIDED_BLOCK]))

    def channels_last(self) -> ReadingNetwork:
        """Return the network with its weights in channels-last memory layout, for input in that layout."""
        return self.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def layers(self) -> list[Layer]:
        """Return all layers with weights and biases, in the order in which MediaPipe's model uses them."""
        return [*self.trunk_layers(), self.widen, self.last, self.right, self.hand, self.pixels, self.shape]

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
