"""A hand that is prepared for evaluation by the initial occupancy network.

Everything that does not depend on the query point is computed once, so any number of points can follow.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from im2hands.core.devices import exact_dtype
from im2hands.geometry.bone_reach import HandsReach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, Bones

from .aligned_image import AlignedMap
from .attention import ImageTokens
from .chunks import Chunks
from .initial_points import OUT_OF_REACH, REACH, cut_off, seen_place
from .side_networks import InitialSizes, SideNetworks

CHUNK = 4096
"""Queries evaluated at once on a CPU without gradients: few enough to stay in the processor's cache."""

CHUNK_ACCELERATOR = 1 << 15
"""Queries evaluated at once on other devices without gradients."""

CHOSEN_CHUNK = 16384
"""Queries evaluated at once where only some bones are evaluated at each."""

FEW = 128
"""At so few queries all bones are evaluated in a few large products, which costs less than many small ones."""

DepthReference = Literal["wrist", "first query"] | Tensor
"""The camera depth from which the depth of a query is measured.

"wrist" is the wrist of the hand whose query space the points live in. The result then does not depend on how points are
grouped into calls. "first query" is the first point of the call, as in the published inference; use it for parity only.
A tensor (B,) gives the camera depths, metres. In the published training the reference is a random query point, so
published weights work with any reference near the hand.
"""


class Extrinsics(NamedTuple):
    """World to camera: ``X_cam = rotation @ X + translation``.

    Parameters
    ----------
    rotation : (B, 3, 3) float
        Rotations.
    translation : (B, 3) float
        Translations, metres.
    """

    rotation: Tensor
    translation: Tensor


class InitialHand:
    """One hand in each of B images, with everything computed that does not depend on the query point.

    Points are in the hand's query space (canonical frame / 0.4) throughout. Geometry is computed in float64 (see
    ``core.devices.exact_dtype``) and then rounded to the network's type.

    Parameters
    ----------
    networks : SideNetworks
        Networks of the hand's side.
    tokens : ImageTokens or AlignedMap
        The images as this side reads them.
    bones : Bones
        See ``InitialOccupancy.hand``.
    camera : Extrinsics or None
        See ``InitialOccupancy.hand``.
    intrinsics : (B, 3, 3) float or None
        See ``InitialOccupancy.hand``.
    sizes : InitialSizes or None
        Sizes of the network; None for the published ones.
    chunks : Chunks or None
        Divides queries into chunks; None makes a new one.

    Raises
    ------
    ValueError
        The network needs intrinsics or joints that are not given.
    """

    def __init__(
        self, networks: SideNetworks, tokens: ImageTokens | AlignedMap, bones: Bones, camera: Extrinsics | None = None,
        intrinsics: Tensor | None = None, sizes: InitialSizes | None = None, chunks: Chunks | None = None,
    ) -> None:  # fmt: skip
        self._chunks = chunks or Chunks()
        self.networks, self.tokens, self.bones = networks, tokens, bones
        self.sizes = sizes = sizes or InitialSizes()
        if sizes.projected and intrinsics is None:
            raise ValueError("this network needs the intrinsics of the picture")
        if sizes.reach and bones.joints is None:
            raise ValueError("this network needs the joints of the bones")
        like = networks.decoder.pose_weight
        exact = torch.zeros((), dtype=exact_dtype(like.device), device=like.device)
        self.dtype = like.dtype
        self.folded, turn, shift = networks.decoder.of_hands(bones)
        self.intrinsics = None if intrinsics is None else intrinsics.to(exact)
        self.joints = None if bones.joints is None else bones.joints.to(exact).to(self.dtype)
        self.thickness = None if bones.thickness is None else bones.thickness.to(exact).to(self.dtype)
        self._reach: HandsReach | None = None
        self.turn, self.shift = (part.to(exact.dtype).to(exact.device) for part in (turn, shift))
        # Query space to the camera, as one affine map: X = R ((0.4 Mᵀ p + wrist) * mirror) + T.
        mirror, wrist = bones.mirror.to(exact), bones.wrist.to(exact)
        to_world = QUERY_SCALE * mirror[:, :, None] * bones.rotation.to(exact).mT
        world_wrist = wrist * mirror
        if camera is None:
            self.camera_turn, self.camera_shift = to_world, world_wrist
        else:
            rotation, translation = camera.rotation.to(exact), camera.translation.to(exact)
            self.camera_turn = rotation @ to_world
            self.camera_shift = (rotation @ world_wrist[..., None])[..., 0] + translation

    def camera_points(self, points: Tensor) -> Tensor:
        """Convert points from query space to the camera frame.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.

        Returns
        -------
        (B, N, 3) float64
            Points, camera frame, metres (float32 on Metal).
        """
        return points.to(self.camera_turn) @ self.camera_turn.mT + self.camera_shift[:, None]

    def bone_local(self, points: Tensor) -> Tensor:
        """Convert points from query space to every bone's straight frame.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.

        Returns
        -------
        (B, N, 16, 3) float
            Points in the bones' straight frames, query-space units.
        """
        local = torch.einsum("bkij,bnj->bnki", self.turn, points.to(self.turn)) + self.shift[:, None]
        return local.to(self.dtype)

    def point_features(self, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Compute the point features ``v``: camera coordinates and their embedding.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.
        depth_reference : DepthReference
            Reference of the depth.

        Returns
        -------
        (B, N, 19) float
            Point features.
        """
        return self._embedded(self.camera_points(points), self._reference(points, depth_reference))

    def image_features(self, point_features: Tensor) -> Tensor:
        """Compute the image features ``u`` of points.

        Parameters
        ----------
        point_features : (B, N, 19) float
            Point features ``v``.

        Returns
        -------
        (B, N, 19) float
            Image features.
        """
        return self.networks.attention(point_features, self.tokens)

    def part_logits(self, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Compute the logits of the sixteen parts.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.
        depth_reference : DepthReference
            Reference of the depth.

        Returns
        -------
        (B, N, 16) float
            Logits.
        """
        return self._logits(self, points, depth_reference)

    def all_logits(self, points: Tensor) -> Tensor:
        """Compute the logits of all parts of a single hand.

        Parameters
        ----------
        points : (N, 3) float
            Points, query space.

        Returns
        -------
        (N, 16) float
            Logits.
        """
        return self.part_logits(points[None])[0]

    @torch.no_grad()
    def chosen_logits(self, points: Tensor, asked: Tensor) -> Tensor:
        """Compute the largest logit among chosen parts of a single hand; for networks without reach only.

        Parameters
        ----------
        points : (N, 3) float
            Points, query space.
        asked : (N, 16) bool
            The parts to evaluate at each point, at least one.

        Returns
        -------
        (N,) float
            Largest logit at each point.
        """
        turn, shift = self.turn[0].to(self.dtype), self.shift[0].to(self.dtype)

        def best_of(chunk: slice) -> Tensor:
            part, wanted = points[chunk], asked[chunk]
            image = self.image_features(self.point_features(part[None]))[0]
            if len(part) <= FEW:
                local = torch.einsum("kij,nj->nki", turn, part.to(turn)) + shift
                every = self.folded.all_logits(local[None], image[None])[0]
                return every.masked_fill(~wanted, -torch.inf).amax(-1)
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
        """Compute the occupancy: the largest of the sixteen parts.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.
        depth_reference : DepthReference
            Reference of the depth.

        Returns
        -------
        (B, N) float
            Occupancy probabilities.
        """
        return torch.sigmoid(self.part_logits(points, depth_reference).amax(-1))

    def occupancy_at_other(
        self,
        other: InitialHand,
        points: Tensor,
        depth_reference: DepthReference = "wrist",
        *,
        compatibility: bool = False,
    ) -> Tensor:
        """Compute the occupancy of this hand at the other hand's points: the penetration term of training.

        Parameters
        ----------
        other : InitialHand
            The other hand.
        points : (B, N, 3) float
            Points, in the OTHER hand's query space.
        depth_reference : DepthReference
            Reference of the depth. "first query" is the first of ``points``.
        compatibility : bool
            Reproduce a defect of the published code: the parts of this hand are evaluated as if the points were in its
            own query space. False converts the points to this hand's query space first.

        Returns
        -------
        (B, N) float
            Occupancy probabilities.
        """
        if compatibility:
            return torch.sigmoid(self._logits(other, points, depth_reference).amax(-1))
        own = self.bones.to_query_space(other.bones.from_query_space(points))
        return self.occupancy(own.to(points), depth_reference)

    def _reference(self, points: Tensor, depth_reference: DepthReference) -> Tensor:
        """Camera depth from which depths are measured, (B, 1, 1) metres."""
        if isinstance(depth_reference, Tensor):
            return depth_reference.to(self.camera_shift)[:, None, None]
        if depth_reference == "wrist" or not points.shape[1]:
            return self.camera_shift[:, None, 2:]
        return self.camera_points(points[:, :1])[..., 2:]

    def _embedded(self, seen: Tensor, reference: Tensor) -> Tensor:
        """Camera-frame points ``seen`` (B, N, 3) to point features ``v`` (B, N, 19)."""
        seen = seen_place(self.sizes, seen, seen[..., 2:] - reference, self.intrinsics).to(self.dtype)
        return torch.cat([seen, self.networks.embedding(seen)], dim=-1)

    def _logits(self, owner: InitialHand, points: Tensor, depth_reference: DepthReference) -> Tensor:
        """Part logits at points whose camera coordinates are those of the query space of ``owner``."""
        # The reference is computed for the whole call, not for each chunk.
        reference = owner._reference(points, depth_reference)
        chunk = CHUNK if points.device.type == "cpu" else CHUNK_ACCELERATOR
        if torch.is_grad_enabled():
            chunk = points.shape[1]
        return self._chunks.over(
            points.shape[1], chunk, lambda rows: self._chunk_logits(owner, points[:, rows], reference), dim=1
        )

    def _chunk_logits(self, owner: InitialHand, points: Tensor, reference: Tensor) -> Tensor:
        """Part logits (B, N, 16) of one chunk of points, depths measured from ``reference``."""
        batch, count = points.shape[:2]
        image = self.image_features(self._embedded(owner.camera_points(points), reference))
        local = self.bone_local(points)
        if (local.device.type != "cpu" or batch * count <= FEW) and not torch.is_grad_enabled():
            every = self.folded.all_logits(local, image)
            if not self.sizes.reach:
                return every
            # Evaluating every bone costs less here than the question which ones are near.
            return cut_off(points, torch.where(self.near(points), every, OUT_OF_REACH))
        image, local = image.flatten(0, 1), local.flatten(0, 1)
        if self.sizes.reach:
            return self._near_logits(points, local, image)
        hand = torch.arange(batch, device=local.device).repeat_interleave(count)
        logits = [self.folded.part_logits(bone, hand, local[:, bone], image) for bone in range(BONE_COUNT)]
        return torch.stack(logits, dim=-1).unflatten(0, (batch, count))

    def near(self, points: Tensor) -> Tensor:
        """Return which bones are evaluated at which points; for networks with a reach.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, query space.

        Returns
        -------
        (B, N, 16) bool
            Whether the point is within reach of the bone.
        """
        assert self.joints is not None
        if self._reach is None:
            self._reach = HandsReach(self.joints, REACH, self.thickness)
        return self._reach.near(points.to(self.dtype) * QUERY_SCALE)

    def _near_logits(self, points: Tensor, local: Tensor, image: Tensor) -> Tensor:
        """Part logits where each bone is evaluated only near itself and the forearm is cut."""
        batch, count = points.shape[:2]
        bones, rows = self.near(points).flatten(0, 1).T.nonzero(as_tuple=True)
        values = self.folded.pair_logits(bones, rows // max(count, 1), local[rows, bones], image[rows])
        logits = values.new_full((batch * count, BONE_COUNT), OUT_OF_REACH).index_put((rows, bones), values)
        return cut_off(points, logits.unflatten(0, (batch, count)))
