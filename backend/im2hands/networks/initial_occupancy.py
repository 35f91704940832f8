"""The published initial occupancy network: an image and the bones of each hand to occupancy (specification section 6).

Encode the image once (:meth:`InitialOccupancy.encode`), prepare each hand once (:meth:`InitialOccupancy.hand`), then
ask as many points as wanted. Hands do not see each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.devices import exact_dtype
from im2hands.core.hands import Side
from im2hands.geometry.bone_reach import BoneReach, within_reach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, Bones

from .aligned_image import AlignedImage, AlignedMap
from .attention import DROPOUT, ImageTokens, QueryImageAttention
from .chunks import Chunks
from .image_encoder import EncoderMaps, ImageEncoder, PictureEncoder
from .image_sampling import project
from .part_decoder import IMAGE_FEATURES
from .published_layout import PublishedPartDecoder

IMAGE_CHANNELS = 32
TOKEN_GRID = 4
HEADS = 2
PICTURE_SIZE = 256
"""Pixels a side of the picture that the intrinsics belong to."""

CHUNK = 4096
"""Queries evaluated at once on a CPU where no gradient is wanted: bounds the memory, stays in the processor's cache."""

CHUNK_ACCELERATOR = 1 << 15
"""The same elsewhere."""

CHOSEN_CHUNK = 16384
"""The same where only some parts are asked."""

REACH = BoneReach.default()
OUT_OF_REACH = -20.0
"""Logit of a bone that is not asked."""

CUT_SOFTNESS = 0.001
"""Metres over which the cut of the forearm goes from inside to outside."""

_DECIMETRE = 0.1
_FAR = 4.0  # a point whose place in the picture is farther out may as well lie there

DepthReference = Literal["wrist", "first query"] | Tensor
"""What the depth of a query is measured from (6.2, step 2).

"wrist": the wrist of the hand whose query space the points live in; the result does not depend on how points are
grouped into calls. "first query": the first point of the call, as the published inference does it; for parity only. Or
camera depths (B,), metres. Training drew the reference at random from around the hand, so published weights know both.
"""


class Extrinsics(NamedTuple):
    """World to camera: ``X_cam = rotation @ X + translation``; (B, 3, 3) and (B, 3), metres."""

    rotation: Tensor
    translation: Tensor


class ImageFeatures(NamedTuple):
    """What the network keeps of B images.

    Args:
        feature_map: (B, 32, 64, 64) ``F``. left, right: image tokens of each hand's attention.
    """

    feature_map: Tensor
    left: ImageTokens | AlignedMap
    right: ImageTokens | AlignedMap


class PointwiseLinear(nn.Conv1d):
    """A linear layer (..., in) to (..., out) whose weight (out, in, 1) has the published convolution's shape."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return functional.linear(x, self.weight[..., 0], self.bias)


class PointEmbedding(nn.Sequential):
    """Camera coordinates (B, N, 3) to an embedding (B, N, width), each point alone (6.2, step 3)."""

    def __init__(self, width: int, hidden: int = 32, dropout: float = DROPOUT) -> None:
        super().__init__(PointwiseLinear(3, hidden), nn.ReLU(), nn.Dropout(dropout), PointwiseLinear(hidden, width))


@dataclass(frozen=True)
class InitialSizes:
    """Sizes and ways of the initial network; the defaults are the published ones.

    Args:
        token_grid: image tokens a side. projected: a query's ``v`` begins with its place in the picture (-1 to 1, the
            256 x 256 crop) and its depth in decimetres, where the published network takes camera coordinates, metres;
            then :meth:`InitialOccupancy.hand` needs the intrinsics. reach: ask each bone near itself only, cut the
            forearm (:mod:`~im2hands.geometry.bone_reach`), as the bundled part decoders are trained. aligned: read the
            image where the query is seen (:class:`.aligned_image.AlignedImage`) instead of attending to tokens: the
            HALO* baseline; needs ``projected``.
    """

    token_grid: int = TOKEN_GRID
    projected: bool = False
    reach: bool = False
    aligned: bool = False


class SideNetworks(NamedTuple):
    """The weights that belong to one side."""

    embedding: PointEmbedding
    attention: QueryImageAttention | AlignedImage
    decoder: PublishedPartDecoder


class InitialOccupancy(nn.Module):
    """The initial occupancy network; with the default sizes its state_dict is the published one (848 entries).

    Args:
        sizes: of the network. encoder: of the image, which other networks may share; None makes the published one.
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
            self.add_module(f"{side}_decoder", PublishedPartDecoder(IMAGE_FEATURES))

    def side(self, side: Side) -> SideNetworks:
        """The weights that belong to one side."""
        return SideNetworks(
            cast(PointEmbedding, self.get_submodule(f"{side}_pt_embeddings")),
            cast(QueryImageAttention | AlignedImage, self.get_submodule(f"img_ex_{side}")),
            cast(PublishedPartDecoder, self.get_submodule(f"{side}_decoder")),
        )

    def encode(self, image: Tensor, maps: EncoderMaps | None = None) -> ImageFeatures:
        """Everything that depends on the image alone.

        Args:
            image: (B, 3, 256, 256), RGB, ImageNet-normalised (2.3). maps: what the encoder makes of it, if known.
        """
        maps = self.image_encoder(image) if maps is None else maps
        feature_map = self.image_final_layer(torch.cat([maps.heatmap[-1], maps.dense[-1]], dim=1))
        left, right = (self.side(side).attention.encode(feature_map) for side in ("left", "right"))
        return ImageFeatures(feature_map, left, right)

    def hand(
        self, side: Side, features: ImageFeatures, bones: Bones, camera: Extrinsics | None = None,
        intrinsics: Tensor | None = None,
    ) -> InitialHand:  # fmt: skip
        """The hand of one side in B images, ready to be asked.

        Args:
            side: whose weights. features: of the B images. bones: of the B hands. camera: from the frame the bones were
                made in to the camera's; None where that is the camera frame already. intrinsics: (B, 3, 3) K of the
                256 x 256 picture, pixels; only networks with ``projected`` queries look at it.

        Raises:
            ValueError: the intrinsics are needed and not given, or bones without joints where the network has a reach.
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
        """Occupancy (B, N) of each hand at its own points; for training.

        Args:
            image: (B, 3, 256, 256). hands: bones of B hands and points (B, N, 3), query space, per side.
            camera, intrinsics: see :meth:`hand`.
        """
        features = self.encode(image)
        return {
            side: self.hand(side, features, bones, camera, intrinsics).occupancy(points, depth_reference)
            for side, (bones, points) in hands.items()
        }


class InitialHand:
    """One hand of B images: all that does not depend on the query point is computed here, once.

    Points are in the hand's query space (canonical frame / 0.4) throughout. Geometry is computed in float64 (see
    :func:`~im2hands.core.devices.exact_dtype`) and then rounded to the network's type (6.2, step 6).

    Args:
        networks: of the hand's side. tokens: of the image. bones, camera, intrinsics: see
        :meth:`InitialOccupancy.hand`. sizes: of the network. chunks: how its queries are divided.
    """

    def __init__(
        self, networks: SideNetworks, tokens: ImageTokens | AlignedMap, bones: Bones, camera: Extrinsics | None = None,
        intrinsics: Tensor | None = None, sizes: InitialSizes | None = None, chunks: Chunks | None = None,
    ) -> None:  # fmt: skip
        self._chunks = chunks or Chunks()
        self.networks, self.tokens, self.bones = networks, tokens, bones
        self._sizes = sizes = sizes or InitialSizes()
        if sizes.projected and intrinsics is None:
            raise ValueError("this network needs the intrinsics of the picture")
        if sizes.reach and bones.joints is None:
            raise ValueError("this network needs the joints of the bones")
        like = networks.decoder.pose_weight
        exact = torch.zeros((), dtype=exact_dtype(like.device), device=like.device)
        self.dtype = like.dtype
        self.folded = networks.decoder.fold(bones.transforms, bones.lengths)
        self._intrinsics = None if intrinsics is None else intrinsics.to(exact)
        self._joints = None if bones.joints is None else bones.joints.to(exact).to(self.dtype)
        transforms = bones.transforms.to(exact)
        self._turn, self._shift = transforms[:, :, :3, :3] / QUERY_SCALE, transforms[:, :, :3, 3]
        # Query space to the camera (6.2, step 1), as one affine map: X = R ((0.4 Mᵀ p + wrist) * mirror) + T.
        mirror, wrist = bones.mirror.to(exact), bones.wrist.to(exact)
        to_world = QUERY_SCALE * mirror[:, :, None] * bones.rotation.to(exact).mT
        world_wrist = wrist * mirror
        if camera is None:
            self._camera_turn, self._camera_shift = to_world, world_wrist
        else:
            rotation, translation = camera.rotation.to(exact), camera.translation.to(exact)
            self._camera_turn = rotation @ to_world
            self._camera_shift = (rotation @ world_wrist[..., None])[..., 0] + translation

    def camera_points(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) to the camera frame, metres, in the exact type of the device."""
        return points.to(self._camera_turn) @ self._camera_turn.mT + self._camera_shift[:, None]

    def bone_local(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in every bone's straight frame, (B, N, 16, 3), query-space units."""
        local = torch.einsum("bkij,bnj->bnki", self._turn, points.to(self._turn)) + self._shift[:, None]
        return local.to(self.dtype)

    def point_features(self, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """``v`` (B, N, 19): camera coordinates and their embedding (6.2, steps 1 to 3)."""
        return self._embedded(self.camera_points(points), self._reference(points, depth_reference))

    def image_features(self, point_features: Tensor) -> Tensor:
        """``u`` (B, N, 19), read from the image for point features ``v`` (6.2, step 5)."""
        return self.networks.attention(point_features, self.tokens)

    def part_logits(self, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Logits (B, N, 16) of the sixteen parts at ``points`` (B, N, 3)."""
        return self._logits(self, points, depth_reference)

    def block_logits(self, points: Tensor) -> Tensor:
        """Logits (B, N) of the hands at ``points`` (B, N, 3), depths measured from the wrist, all points at once."""
        return self._chunk_logits(self, points, self._reference(points, "wrist")).amax(-1)

    def all_logits(self, points: Tensor) -> Tensor:
        """Logits (N, 16) of the parts of a single hand at ``points`` (N, 3)."""
        return self.part_logits(points[None])[0]

    @torch.no_grad()
    def chosen_logits(self, points: Tensor, asked: Tensor) -> Tensor:
        """The largest logit (N,) among some parts of a single hand; not for networks whose bones have a reach.

        Args:
            points: (N, 3). asked: (N, 16) bool, the parts to ask at each point, one at least.
        """
        turn, shift = self._turn[0].to(self.dtype), self._shift[0].to(self.dtype)

        def best_of(chunk: slice) -> Tensor:
            part, wanted = points[chunk], asked[chunk]
            image = self.image_features(self.point_features(part[None]))[0]
            best = image.new_full((len(part),), -torch.inf)
            for bone in range(BONE_COUNT):
                rows = wanted[:, bone].nonzero()[:, 0]
                if len(rows):
                    local = torch.addmm(shift[bone], part.index_select(0, rows).to(turn), turn[bone].mT)
                    logits = self.folded.part_logits(bone, None, local, image.index_select(0, rows))
                    best[rows] = torch.maximum(best[rows], logits)
            return best

        return self._chunks.over(len(points), CHOSEN_CHUNK, best_of)

    def occupancy(self, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Occupancy (B, N), probabilities: the largest of the sixteen parts' (6.2, step 6)."""
        return torch.sigmoid(self.part_logits(points, depth_reference).amax(-1))

    def occupancy_at_other(
        self,
        other: InitialHand,
        points: Tensor,
        depth_reference: DepthReference = "wrist",
        *,
        compatibility: bool = False,
    ) -> Tensor:
        """Occupancy (B, N) of this hand at the other hand's points: the penetration term of training.

        Args:
            other: the other hand. points: (B, N, 3), in the OTHER hand's query space. depth_reference: a first query
                is the first of those points.
            compatibility: reproduce the published code, which asks this hand's parts as if the points were in its own
                query space (13.5). By default the points are first brought there.
        """
        if compatibility:
            return torch.sigmoid(self._logits(other, points, depth_reference).amax(-1))
        own = self.bones.to_query_space(other.bones.from_query_space(points.to(other.bones.rotation)))
        return self.occupancy(own.to(points), depth_reference)

    def _reference(self, points: Tensor, depth_reference: DepthReference) -> Tensor:
        """Camera depth that counts as 0, (B, 1, 1) metres."""
        if isinstance(depth_reference, Tensor):
            return depth_reference.to(self._camera_shift)[:, None, None]
        if depth_reference == "wrist" or not points.shape[1]:
            return self._camera_shift[:, None, 2:]
        return self.camera_points(points[:, :1])[..., 2:]

    def _embedded(self, seen: Tensor, reference: Tensor) -> Tensor:
        """Camera points (B, N, 3) to ``v`` (B, N, 19)."""
        depth = seen[..., 2:] - reference
        if self._sizes.projected:
            assert self._intrinsics is not None
            half = PICTURE_SIZE / 2
            place = (project(seen, self._intrinsics)[0] + 0.5 - half) / half
            seen = torch.cat([place.clamp(-_FAR, _FAR), depth / _DECIMETRE], dim=-1).to(self.dtype)
        else:
            seen = torch.cat([seen[..., :2], depth], dim=-1).to(self.dtype)
        return torch.cat([seen, self.networks.embedding(seen)], dim=-1)

    def _logits(self, owner: InitialHand, points: Tensor, depth_reference: DepthReference) -> Tensor:
        """Part logits at points whose camera coordinates are those of the query space of ``owner``."""
        # The reference belongs to the whole call, not to a chunk of it.
        reference = owner._reference(points, depth_reference)
        chunk = CHUNK if points.device.type == "cpu" else CHUNK_ACCELERATOR
        if torch.is_grad_enabled():
            chunk = points.shape[1]
        return self._chunks.over(
            points.shape[1], chunk, lambda rows: self._chunk_logits(owner, points[:, rows], reference), dim=1
        )

    def _chunk_logits(self, owner: InitialHand, points: Tensor, reference: Tensor) -> Tensor:
        batch, count = points.shape[:2]
        image = self.image_features(self._embedded(owner.camera_points(points), reference))
        local = self.bone_local(points)
        if not self._sizes.reach and local.device.type != "cpu" and not torch.is_grad_enabled():
            return self.folded.all_logits(local, image)
        image, local = image.flatten(0, 1), local.flatten(0, 1)
        if self._sizes.reach:
            return self._near_logits(points, local, image)
        hand = torch.arange(batch, device=local.device).repeat_interleave(count)
        logits = [self.folded.part_logits(bone, hand, local[:, bone], image) for bone in range(BONE_COUNT)]
        return torch.stack(logits, dim=-1).unflatten(0, (batch, count))

    def near(self, points: Tensor) -> Tensor:
        """Which bones are asked of points (B, N, 3) of the own query space, (B, N, 16) bool."""
        assert self._joints is not None
        return within_reach(points.to(self._joints) * QUERY_SCALE, self._joints, REACH)

    def _near_logits(self, points: Tensor, local: Tensor, image: Tensor) -> Tensor:
        """Part logits where only bones near a point are asked; the forearm is cut."""
        batch, count = points.shape[:2]
        bones, rows = self.near(points).flatten(0, 1).T.nonzero(as_tuple=True)
        values = self.folded.pair_logits(bones, rows // max(count, 1), local[rows, bones], image[rows])
        logits = values.new_full((batch * count, BONE_COUNT), OUT_OF_REACH).index_put((rows, bones), values)
        cut = (REACH.stump - points[..., :1] * QUERY_SCALE) / CUT_SOFTNESS
        return torch.minimum(logits.unflatten(0, (batch, count)), cut.clamp_min(OUT_OF_REACH).to(logits))
