"""The two-hand refinement network: refined occupancy of each hand, given the picture and the other hand.

This is the refinement network of Im2Hands (Lee et al., CVPR 2023). Encode the picture once
(``RefinedOccupancy.encode``), prepare the two hands once from anchors on their initial surfaces
(``RefinedOccupancy.hands``), then evaluate any number of points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import Side
from im2hands.geometry.bones import Bones

from .anchor_encoder import AnchorEncoder, AnchorSizes
from .chunks import Chunks
from .image_encoder import EncoderMaps, ImageEncoder, PictureEncoder
from .image_sampling import flipped, project, sample_features
from .initial_hand import DepthReference
from .initial_occupancy import InitialOccupancy
from .initial_points import PICTURE_SIZE
from .refined_hands import RefinedHands
from .refinement_decoder import RefinementDecoder
from .side_networks import InitialSizes
from .two_hand_picture import IMAGE_CHANNELS, PictureFeatures, Sampled, View


@dataclass(frozen=True)
class RefinedSizes:
    """Sizes and variants of the refinement network; the defaults are the published ones.

    Parameters
    ----------
    initial : InitialSizes
        Sizes of the nested initial network.
    anchors : AnchorSizes
        Sizes of the anchor encoder. All codes have its width.
    attention : int
        Channels of the decoder's attention; see ``refinement_decoder.RefinementDecoder``.
    hidden : int
        Channels of the decoder's residual blocks.
    blocks : int
        Residual blocks of the decoder.
    neighbours : int
        Anchors that a query attends to.
    upsampled : bool
        Whether the feature map is resampled to the size of the picture before points are looked up in it.
    residual : bool
        Whether the decoder's output is added to the initial logit; in the published network it replaces the initial
        value.
    unit : float
        Metres that count as 1 in differences of positions.
    anchor_count : int
        Anchors on the initial surface of a hand.
    threshold : float
        Occupancy at the surface.
    """

    initial: InitialSizes = field(default_factory=InitialSizes)
    anchors: AnchorSizes = field(default_factory=AnchorSizes)
    attention: int = 200
    hidden: int = 32
    blocks: int = 5
    neighbours: int = 9
    upsampled: bool = True
    residual: bool = False
    unit: float = 1.0
    anchor_count: int = 512
    threshold: float = 0.45


class RefinedOccupancy(nn.Module):
    """The refinement network; with the default sizes its state_dict is the published one (1596 entries).

    The nested initial network is frozen: always in evaluation mode and without gradients, as in the published training.

    Parameters
    ----------
    sizes : RefinedSizes or None
        Sizes of the network; None for the published ones.
    encoder : PictureEncoder or None
        Image encoder, shared with the nested initial network and frozen with it. None makes two published encoders.
    compatibility : bool
        True reproduces two properties of the published code, on which weights trained with it depend: anchors near the
        centre of the scene are not used, and picture features are up to a pixel off. False uses all anchors and
        respects pixel centres, as weights trained with this program expect.
    """

    def __init__(
        self, sizes: RefinedSizes | None = None, encoder: PictureEncoder | None = None, *, compatibility: bool = False
    ) -> None:
        super().__init__()
        self.chunks = Chunks()
        self.sizes = sizes = sizes or RefinedSizes()
        self.compatibility = compatibility
        self.init_occ = InitialOccupancy(sizes.initial, encoder).requires_grad_(False)
        self.image_encoder = encoder or ImageEncoder()
        maps, code = self.image_encoder.sizes, sizes.anchors.width
        self.image_final_layer = nn.Conv2d(2 * maps.channels, IMAGE_CHANNELS, 1)
        self.hms_global_layer = nn.Conv2d(maps.channels, code // 2, maps.coarsest)
        self.dp_global_layer = nn.Conv2d(maps.channels, code // 2, maps.coarsest)
        self.trans_enc = AnchorEncoder(sizes.anchors)
        self.trans_dec = RefinementDecoder(
            sizes.attention, code, 2 * IMAGE_CHANNELS, sizes.hidden, sizes.blocks, sizes.neighbours
        )
        if sizes.residual:  # before training the refined surface is the initial one
            nn.init.zeros_(self.trans_dec.fc_out.weight)
            nn.init.zeros_(self.trans_dec.fc_out.bias)
        self.context_enc = nn.Sequential(nn.Linear(3 * code, code))
        self.train(self.training)

    def train(self, mode: bool = True) -> RefinedOccupancy:
        """Set the training mode; the nested initial network stays in evaluation mode.

        Parameters
        ----------
        mode : bool
            True for training, False for evaluation.
        """
        super().train(mode)
        self.init_occ.eval()
        return self

    def encode(
        self, image: Tensor, maps: EncoderMaps | None = None, precision: torch.dtype | None = None
    ) -> PictureFeatures:
        """Compute everything that depends on the picture alone.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        maps : EncoderMaps or None
            Maps of a shared encoder for these pictures; None to compute them here.
        precision : torch.dtype or None
            Precision of the encoder's convolutions; see ``PictureEncoder.seen``.

        Returns
        -------
        PictureFeatures
            Features of the B pictures.
        """
        shared = self.image_encoder is self.init_occ.image_encoder
        with torch.no_grad():
            if shared and maps is None:
                maps = self.image_encoder.seen(image, precision)
            initial = self.init_occ.encode(image, maps if shared else None, precision)
        maps = maps if shared and maps is not None else self.image_encoder.seen(image, precision)
        # A 1x1 convolution and bilinear resampling commute; 32 channels are cheaper to resample than 256.
        feature_map = self.image_final_layer(torch.cat([maps.heatmap[-1], maps.dense[-1]], dim=1))
        if self.sizes.upsampled:
            feature_map = functional.interpolate(
                feature_map, size=(PICTURE_SIZE, PICTURE_SIZE), mode="bilinear", align_corners=False
            )
        code = torch.cat([self.hms_global_layer(maps.heatmap[0]), self.dp_global_layer(maps.dense[0])], dim=1)
        return PictureFeatures(initial, feature_map, code.flatten(1))

    def sample(self, features: PictureFeatures, seen: Tensor, view: View) -> Sampled:
        """Sample the picture features at points.

        Parameters
        ----------
        features : PictureFeatures
            Features of the B pictures.
        seen : (B, N, 3) float
            Points, camera frame, metres.
        view : View
            Cameras of the B pictures.

        Returns
        -------
        Sampled
            The points with their picture features.
        """
        pixels, front = project(seen, view.intrinsics.to(seen))
        sampled = sample_features(
            features.feature_map, pixels.to(features.feature_map), front, PICTURE_SIZE,
            published_grid=self.compatibility,
        )  # fmt: skip
        return Sampled(flipped(seen), sampled)

    def hands(
        self,
        features: PictureFeatures,
        bones: Mapping[Side, Bones],
        view: View,
        anchors: Mapping[Side, Tensor],
        precision: torch.dtype | None = None,
    ) -> RefinedHands:
        """Prepare both hands of B pictures for evaluation.

        Parameters
        ----------
        features : PictureFeatures
            Features of the B pictures, from ``encode``.
        bones : mapping of Side to Bones
            Bones of the B hands of each side.
        view : View
            Cameras of the B pictures.
        anchors : mapping of Side to (B, anchor_count, 3) float
            Points on the initial surface, in the frame in which the bones were made, metres.
        precision : torch.dtype or None
            Precision of the attention between points; see ``pair_attention.PairAttention``.

        Returns
        -------
        RefinedHands
            The prepared hands.

        Raises
        ------
        ValueError
            There are fewer anchors than the encoder keeps (256 in the published network).
        """
        return RefinedHands(self, features, bones, view, anchors, precision)

    def forward(
        self,
        image: Tensor,
        hands: Mapping[Side, tuple[Bones, Tensor]],
        view: View,
        anchors: Mapping[Side, Tensor],
        depth_reference: DepthReference = "wrist",
    ) -> dict[Side, Tensor]:
        """Compute the occupancy of each hand at its own points; for training.

        Parameters
        ----------
        image : (B, 3, 256, 256) float
            Crops, RGB, ImageNet-normalised.
        hands : mapping of Side to (Bones, Tensor)
            For each side the bones of B hands and points (B, N, 3) in query space.
        view : View
            Cameras of the B pictures.
        anchors : mapping of Side to (B, anchor_count, 3) float
            See ``hands``.
        depth_reference : DepthReference
            Reference of the depth in the initial network.

        Returns
        -------
        dict of Side to (B, N) float
            Occupancy probabilities.
        """
        bones = {side: of_side for side, (of_side, _) in hands.items()}
        both = self.hands(self.encode(image), bones, view, anchors)
        return {side: both.occupancy(side, points, depth_reference) for side, (_, points) in hands.items()}
