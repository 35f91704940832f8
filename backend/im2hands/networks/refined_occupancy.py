"""The two-hand refinement network: occupancy of each hand that knows the picture and the other hand (section 7).

Encode the picture once (:meth:`RefinedOccupancy.encode`), prepare the two hands once from anchors on their initial
surfaces (:meth:`RefinedOccupancy.hands`), then ask as many points as wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.devices import exact_dtype
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import Bones

from .anchor_encoder import AnchorEncoder, AnchorSizes, EncodedAnchors
from .chunks import Chunks
from .farthest_points import PUBLISHED_GUARD
from .image_encoder import EncoderMaps, ImageEncoder, PictureEncoder
from .image_sampling import flipped, project, sample_features
from .initial_occupancy import (  # fmt: skip
    PICTURE_SIZE,
    DepthReference,
    Extrinsics,
    ImageFeatures,
    InitialOccupancy,
    InitialSizes,
)
from .refinement_decoder import FoldedHands, RefinementDecoder

IMAGE_CHANNELS = 32
CHUNK = 4096
"""Queries evaluated at once on a CPU where no gradient is wanted: bounds the memory."""

_LOGIT_EPSILON = 1e-6  # of an initial occupancy that is nearly 0 or 1

CHUNK_ACCELERATOR = 1 << 15
"""The same elsewhere."""


@dataclass(frozen=True)
class RefinedSizes:
    """Sizes and ways of the refinement network; the defaults are the published ones.

    Args:
        initial: of the nested initial network. anchors: of the anchor encoder, whose width is that of all codes.
        attention, hidden, blocks, neighbours: of the decoder, see :class:`.refinement_decoder.RefinementDecoder`.
        upsampled: bring the feature map to the size of the picture before points are looked up in it. residual: the
            decoder's output is added to the initial logit, where the published network replaces it. unit: metres that
            count as 1 between points. anchor_count: points on the initial surface of a hand.
        threshold: occupancy at the surface (9).
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


class View(NamedTuple):
    """Cameras of B pictures.

    Args:
        rotation, translation: (B, 3, 3) and (B, 3) metres, from the frame of the bones to the camera frame.
        intrinsics: (B, 3, 3) K of the 256 x 256 picture, pixels.
    """

    rotation: Tensor
    translation: Tensor
    intrinsics: Tensor

    def camera_points(self, points: Tensor) -> Tensor:
        """Points (B, N, 3), the frame of the bones, to the camera frame, metres, in the exact type of their device."""
        exact = exact_dtype(points.device)
        return points.to(exact) @ self.rotation.to(exact).mT + self.translation.to(exact)[:, None]


class PictureFeatures(NamedTuple):
    """What the network keeps of B pictures.

    Args:
        initial: of the nested initial network. feature_map: (B, 32, H, H) ``F`` of the whole picture; published H is
            256. code: (B, 256) ``g``.
    """

    initial: ImageFeatures
    feature_map: Tensor
    code: Tensor


class Sampled(NamedTuple):
    """Points in the picture and in space.

    Args:
        positions: (B, N, 3) float64, camera frame with y and z negated, metres. features: (B, N, 32).
    """

    positions: Tensor
    features: Tensor


class RefinedOccupancy(nn.Module):
    """The refinement network; with the default sizes its state_dict is the published one (1596 entries).

    The nested initial network is frozen: always in evaluation mode, without gradients (section 10).

    Args:
        sizes: of the network. encoder: of the picture, shared with the nested initial network and frozen like it; None
            makes the published encoders, one for each.
        compatibility: what weights trained with the published code have seen: no anchors near the scene's centre (7.5)
            and picture features up to a pixel off (7.2). By default all anchors count and pixel centres are respected,
            which is right for weights trained here.
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
        if sizes.residual:  # the initial surface, before anything is learned
            nn.init.zeros_(self.trans_dec.fc_out.weight)
            nn.init.zeros_(self.trans_dec.fc_out.bias)
        self.context_enc = nn.Sequential(nn.Linear(3 * code, code))
        self.train(self.training)

    def train(self, mode: bool = True) -> RefinedOccupancy:
        """As for every module, but the nested initial network stays in evaluation mode."""
        super().train(mode)
        self.init_occ.eval()
        return self

    def encode(self, image: Tensor, maps: EncoderMaps | None = None) -> PictureFeatures:
        """Everything that depends on the picture alone (7.1).

        Args:
            image: (B, 3, 256, 256), RGB, ImageNet-normalised (2.3). maps: what a shared encoder makes of it, if known.
        """
        shared = self.image_encoder is self.init_occ.image_encoder
        with torch.no_grad():
            if shared and maps is None:
                maps = self.image_encoder(image)
            initial = self.init_occ.encode(image, maps if shared else None)
        maps = maps if shared and maps is not None else self.image_encoder(image)
        # A 1x1 convolution and bilinear resampling commute; 32 channels are cheaper to resample than 256.
        feature_map = self.image_final_layer(torch.cat([maps.heatmap[-1], maps.dense[-1]], dim=1))
        if self.sizes.upsampled:
            feature_map = functional.interpolate(
                feature_map, size=(PICTURE_SIZE, PICTURE_SIZE), mode="bilinear", align_corners=False
            )
        code = torch.cat([self.hms_global_layer(maps.heatmap[0]), self.dp_global_layer(maps.dense[0])], dim=1)
        return PictureFeatures(initial, feature_map, code.flatten(1))

    def sample(self, features: PictureFeatures, seen: Tensor, view: View) -> Sampled:
        """Picture features of camera-space points ``seen`` (B, N, 3) (7.2)."""
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
        """Both hands of B pictures, ready to be asked.

        Args:
            features: of the B pictures. bones: of the B hands of each side. view: of the B pictures. anchors: per side
                (B, 512, 3) points on the initial surface, the frame the bones were made in, metres. precision: of the
                attention between points, see :class:`~im2hands.networks.pair_attention.PairAttention`.

        Raises:
            ValueError: fewer than 256 anchors.
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
        """Occupancy (B, N) of each hand at its own points; for training.

        Args:
            image: (B, 3, 256, 256). hands: bones of B hands and points (B, N, 3), query space, per side. view, anchors:
                see :meth:`hands`.
        """
        bones = {side: of_side for side, (of_side, _) in hands.items()}
        both = self.hands(self.encode(image), bones, view, anchors)
        return {side: both.occupancy(side, points, depth_reference) for side, (_, points) in hands.items()}


class RefinedHands:
    """Two hands of B pictures: all that does not depend on the query point is computed here, once.

    Points are in each hand's query space (canonical frame / 0.4), on the network's device; bones, view and anchors may
    be anywhere. See :meth:`RefinedOccupancy.hands`.

    Attributes:
        anchors: per side, the anchors in picture and space. centre: (B, 3), the middle of both hands' anchors (7.3).
        encoded: of the 2B hands, all left ones first. context: (2B, 256), the hand codes in context (7.6).
    """

    anchors: dict[Side, Sampled]
    centre: Tensor
    encoded: EncodedAnchors
    context: Tensor

    def __init__(
        self,
        network: RefinedOccupancy,
        features: PictureFeatures,
        bones: Mapping[Side, Bones],
        view: View,
        anchors: Mapping[Side, Tensor],
        precision: torch.dtype | None = None,
    ) -> None:
        device = features.code.device
        view = View(*(value.to(device) for value in view))
        self.network, self.features, self.view = network, features, view
        self.batch, self._precision = len(features.code), precision
        extrinsics = Extrinsics(view.rotation, view.translation)
        with torch.no_grad():
            self.initial = {
                side: network.init_occ.hand(side, features.initial, bones[side], extrinsics, view.intrinsics)
                for side in SIDES
            }
        seen = {side: view.camera_points(anchors[side].to(device)) for side in SIDES}
        self.anchors = {side: network.sample(features, seen[side], view) for side in SIDES}
        everything = torch.cat([self.anchors[side].positions for side in SIDES], dim=1)
        self.centre = (everything.amin(1) + everything.amax(1)) / 2
        self.encoded = self._encode()
        self.context = self._in_context(self.encoded.code)
        self._folded = self._fold(self.context, precision)
        self._exact: FoldedHands | None = None

    def query(self, side: Side, points: Tensor) -> Sampled:
        """Query points (B, N, 3) in picture and space."""
        return self.network.sample(self.features, self.initial[side].camera_points(points), self.view)

    def centred(self, sampled: Sampled) -> Tensor:
        """Positions as the network sees them (7.3), (B, N, 3)."""
        return ((sampled.positions - self.centre[:, None]) / self.network.sizes.unit).to(sampled.features)

    def initial_occupancy(self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Occupancy (B, N) of the nested initial network at ``points`` (B, N, 3)."""
        with torch.no_grad():
            return self.initial[side].occupancy(points, depth_reference)

    def logits(self, side: Side, points: Tensor, initial: Tensor, *, exact: bool = False) -> Tensor:
        """Refined logits (B, N) for a given initial occupancy (7.6).

        Args:
            points: (B, N, 3). initial: (B, N), of :meth:`initial_occupancy`. exact: decode in the weights' own type,
                whatever the precision of the hands.
        """
        return self._decode(self.folded(exact=exact), side, side, points, initial)

    def folded(self, *, exact: bool = False) -> FoldedHands:
        """The decoder of the 2B hands, all left ones first; ``exact`` as for :meth:`logits`."""
        if not exact or self._precision is None:
            return self._folded
        if self._exact is None:
            self._exact = self._fold(self.context, None)
        return self._exact

    def refined_block(self, points: Tensor, initial: Tensor, *, exact: bool = False) -> Tensor:
        """Refined logits (2B, N) of all hands, left ones first, all at once.

        Args:
            points: (2B, N, 3). initial: (2B, N), the initial network's logits. exact: see :meth:`logits`.
        """
        parts = list(zip(SIDES, points.split(self.batch), strict=True))
        return self._decoded(self.folded(exact=exact), parts, torch.sigmoid(initial))

    def occupancy(self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Refined occupancy (B, N), probabilities, of a hand at ``points`` (B, N, 3) of its query space."""
        return torch.sigmoid(self.logits(side, points, self.initial_occupancy(side, points, depth_reference)))

    def occupancy_at_other(
        self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist", *, compatibility: bool = False
    ) -> Tensor:
        """Occupancy (B, N) of the hand ``side`` at the other hand's points: the penetration term of training.

        Args:
            points: (B, N, 3), in the OTHER hand's query space. depth_reference: see
                :meth:`~im2hands.networks.initial_occupancy.InitialHand.occupancy_at_other`.
            compatibility: reproduce the published code, which asks the initial network in the wrong frame and puts the
                hand codes in context twice (13.5). By default the occupancy is the one that :meth:`occupancy` gives at
                the same place.
        """
        other: Side = "right" if side == "left" else "left"
        with torch.no_grad():
            initial = self.initial[side].occupancy_at_other(
                self.initial[other], points, depth_reference, compatibility=compatibility
            )
        folded = self._fold(self._in_context(self.context), self._precision) if compatibility else self._folded
        return torch.sigmoid(self._decode(folded, side, other, points, initial))

    def _encode(self) -> EncodedAnchors:
        positions, features = [], []
        for index, side in enumerate(SIDES):
            sampled = self.anchors[side]
            one_hot = sampled.features.new_zeros(len(SIDES))
            one_hot[index] = 1.0
            positions.append(self.centred(sampled))
            features.append(torch.cat([sampled.features, one_hot.expand(*sampled.features.shape[:2], -1)], dim=-1))
        guard = PUBLISHED_GUARD if self.network.compatibility else None
        return self.network.trans_enc(torch.cat(positions), torch.cat(features), guard=guard, precision=self._precision)

    def _in_context(self, codes: Tensor) -> Tensor:
        """Hand codes (2B, 256) with the other hand's and the picture's (7.6)."""
        left, right = codes.split(self.batch)
        picture = self.features.code
        return self.network.context_enc(
            torch.cat([torch.cat([left, right, picture], dim=1), torch.cat([right, left, picture], dim=1)])
        )

    def _fold(self, context: Tensor, precision: torch.dtype | None) -> FoldedHands:
        encoded = self.encoded
        return self.network.trans_dec.fold(context, encoded.positions, encoded.features, precision)

    def _decode(self, folded: FoldedHands, side: Side, owner: Side, points: Tensor, initial: Tensor) -> Tensor:
        """Logits of the hand ``side`` at points in the query space of ``owner``."""
        hands = folded[: self.batch] if side == "left" else folded[self.batch :]
        chunk = CHUNK if points.device.type == "cpu" else CHUNK_ACCELERATOR
        if torch.is_grad_enabled():
            chunk = points.shape[1]

        return self.network.chunks.over(
            points.shape[1],
            chunk,
            lambda rows: self._decoded(hands, [(owner, points[:, rows])], initial[:, rows]),
            dim=1,
        )

    def _decoded(self, hands: FoldedHands, queries: Sequence[tuple[Side, Tensor]], occupancy: Tensor) -> Tensor:
        """Logits (H, N) of H hands, which some sides' points (B, N, 3) and initial occupancies (H, N) stand for."""
        sampled = [self.query(owner, points) for owner, points in queries]
        positions = torch.cat([self.centred(of_side) for of_side in sampled])
        features = torch.cat([of_side.features for of_side in sampled])
        repeated = occupancy.to(features)[..., None].expand(-1, -1, IMAGE_CHANNELS)
        logits = hands.logits(positions, torch.cat([features, repeated], dim=-1))
        if self.network.sizes.residual:
            logits = logits + torch.logit(occupancy.to(logits), _LOGIT_EPSILON)
        return logits
