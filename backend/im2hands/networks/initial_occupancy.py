"""The initial occupancy network: an image and the bones of each hand to occupancy.

This is the initial network of Im2Hands (Lee et al., CVPR 2023). Encode the image once (``InitialOccupancy.encode``),
prepare each hand once (``InitialOccupancy.hand``), then evaluate any number of points. Each hand is evaluated without
regard to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from im2hands.core.hands import Side
from im2hands.geometry.bones import Bones

from .aligned_image import AlignedImage, AlignedMap
from .attention import ImageTokens, QueryImageAttention
from .chunks import Chunks
from .image_encoder import EncoderMaps, ImageEncoder, PictureEncoder
from .initial_hand import DepthReference, Extrinsics, InitialHand
from .part_decoder import IMAGE_FEATURES
from .published_layout import PublishedPartDecoder
from .side_networks import InitialSizes, PointEmbedding, SideNetworks

IMAGE_CHANNELS = 32
HEADS = 2


class ImageFeatures(NamedTuple):
    """Features of B images.

    Parameters
    ----------
    feature_map : (B, 32, H, H) float
        Feature map ``F``; H is 64 in the published network.
    left : ImageTokens or AlignedMap
        The image as the left hand's queries read it.
    right : ImageTokens or AlignedMap
        The image as the right hand's queries read it.
    """

    feature_map: Tensor
    left: ImageTokens | AlignedMap
    right: ImageTokens | AlignedMap


class InitialOccupancy(nn.Module):
    """The initial occupancy network; with the default sizes its state_dict is the published one (848 entries).

    Parameters
    ----------
    sizes : InitialSizes or None
        Sizes of the network; None for the published ones.
    encoder : PictureEncoder or None
        Image encoder, which other networks may share. None makes the published encoder.
    """

    def __init__(self, sizes: InitialSizes | None = None, encoder: PictureEncoder | None = None) -> None:
        super().__init__()
        self.sizes = sizes = sizes or InitialSizes()
        self.chunks = Chunks()
        self.image_encoder = encoder or ImageEncoder()
        maps = self.image_encoder.sizes
        self.image_final_layer = nn.Conv2d(2 * maps.channels, IMAGE_CHANNELS, 1)
        for side in ("left", "right"):
            attention: nn.Module = QueryImageAttention(
                IMAGE_CHANNELS, IMAGE_CHANNELS, IMAGE_FEATURES,
                grid=sizes.token_grid, heads=HEADS, map_size=maps.finest,
            ) if not sizes.aligned else AlignedImage(IMAGE_CHANNELS, IMAGE_FEATURES)  # fmt: skip
            self.add_module(f"{side}_pt_embeddings", PointEmbedding(IMAGE_FEATURES - 3))
            self.add_module(f"img_ex_{side}", attention)
            self.add_module(f"{side}_decoder", PublishedPartDecoder(IMAGE_FEATURES, shape=sizes.shape))

    def side(self, side: Side) -> SideNetworks:
        """Return the networks of one side.

        Parameters
        ----------
        side : Side
            "left" or "right".
        """
        return SideNetworks(
            cast(PointEmbedding, self.get_submodule(f"{side}_pt_embeddings")),
            cast(QueryImageAttention | AlignedImage, self.get_submodule(f"img_ex_{side}")),
            cast(PublishedPartDecoder, self.get_submodule(f"{side}_decoder")),
        )

    def encode(
        self, image: Tensor, maps: EncoderMaps | None = None, precision: torch.dtype | None = None
    ) -> ImageFeatures:
        """Compute everything that depends on the image alone.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        maps : EncoderMaps or None
            The encoder's maps of these images; None to compute them here.
        precision : torch.dtype or None
            Precision of the encoder's convolutions; see ``PictureEncoder.seen``.

        Returns
        -------
        ImageFeatures
            Features of the B images.
        """
        maps = self.image_encoder.seen(image, precision) if maps is None else maps
        feature_map = self.image_final_layer(torch.cat([maps.heatmap[-1], maps.dense[-1]], dim=1))
        left, right = (self.side(side).attention.encode(feature_map) for side in ("left", "right"))
        return ImageFeatures(feature_map, left, right)

    def hand(
        self, side: Side, features: ImageFeatures, bones: Bones, camera: Extrinsics | None = None,
        intrinsics: Tensor | None = None,
    ) -> InitialHand:  # fmt: skip
        """Prepare the hand of one side in B images for evaluation.

        Parameters
        ----------
        side : Side
            The side whose networks to use.
        features : ImageFeatures
            Features of the B images, from ``encode``.
        bones : Bones
            Bones of the B hands.
        camera : Extrinsics or None
            From the frame in which the bones were made to the camera frame; None if that is the camera frame already.
        intrinsics : (B, 3, 3) float or None
            Camera matrices K of the 256 x 256 crop, pixels. Only networks with ``projected`` queries use them.

        Returns
        -------
        InitialHand
            The prepared hands.

        Raises
        ------
        ValueError
            The network needs intrinsics and none are given, or it has a reach and the bones have no joints.
        """
        shown = getattr(features, side)
        return InitialHand(self.side(side), shown, bones, camera, intrinsics, self.sizes, self.chunks)

    def forward(
        self,
        image: Tensor,
        hands: Mapping[Side, tuple[Bones, Tensor]],
        camera: Extrinsics | None = None,
        depth_reference: DepthReference = "wrist",
        intrinsics: Tensor | None = None,
    ) -> dict[Side, Tensor]:
        """Compute the occupancy of each hand at its own points; for training.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        hands : mapping of Side to (Bones, Tensor)
            For each side the bones of B hands and points (B, N, 3) in query space.
        camera : Extrinsics or None
            See ``hand``.
        depth_reference : DepthReference
            Reference of the depth of queries.
        intrinsics : (B, 3, 3) float or None
            See ``hand``.

        Returns
        -------
        dict of Side to (B, N) float
            Occupancy probabilities.
        """
        features = self.encode(image)
        return {
            side: self.hand(side, features, bones, camera, intrinsics).occupancy(points, depth_reference)
            for side, (bones, points) in hands.items()
        }
