"""Two hands that are prepared for evaluation by the refinement network.

Everything that does not depend on the query point is computed once, so any number of points can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from im2hands.core.devices import to_device
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import Bones

from .anchor_encoder import EncodedAnchors
from .farthest_points import PUBLISHED_GUARD
from .image_sampling import flipped
from .initial_hand import DepthReference, Extrinsics
from .refinement_decoder import FoldedHands
from .two_hand_picture import IMAGE_CHANNELS, PictureFeatures, Sampled, View

if TYPE_CHECKING:
    from .refined_occupancy import RefinedOccupancy

CHUNK = 4096
"""Queries evaluated at once on a CPU without gradients; it bounds the memory."""

# Its powers number the anchors. They wrap around at 64 bits, and no two sums of a few of them are likely to be equal.
_ODD = 6364136223846793005

_LOGIT_EPSILON = 1e-6  # keeps the logit of an initial occupancy of 0 or 1 finite

CHUNK_ACCELERATOR = 1 << 15
"""Queries evaluated at once on other devices without gradients."""


class RefinedHands:
    """Two hands in each of B pictures, with everything computed that does not depend on the query point.

    Points are in each hand's query space (canonical frame / 0.4), on the network's device. Bones, view and anchors may
    be on any device.

    Parameters
    ----------
    network : RefinedOccupancy
        The network.
    features : PictureFeatures
        See ``RefinedOccupancy.hands``, as for the following.
    bones : mapping of Side to Bones
        Bones of the B hands of each side.
    view : View
        Cameras of the B pictures.
    anchors : mapping of Side to (B, anchor_count, 3) float
        Points on the initial surface.
    precision : torch.dtype or None
        Precision of the attention between points.

    Attributes
    ----------
    anchors : dict of Side to Sampled
        Anchors with their picture features.
    centre : (B, 3) float64
        Centre of the bounding box of both hands' anchors, camera frame with y and z negated, metres.
    encoded : EncodedAnchors
        Encoded anchors of the 2B hands, all left ones first.
    context : (2B, 256) float
        Hand codes in the context of the other hand and the picture.
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
        view = View(*(to_device(value, device) for value in view))
        self.network, self.features, self.view = network, features, view
        self.batch, self._precision = len(features.code), precision
        extrinsics = Extrinsics(view.rotation, view.translation)
        with torch.no_grad():
            self.initial = {
                side: network.init_occ.hand(side, features.initial, bones[side], extrinsics, view.intrinsics)
                for side in SIDES
            }
        seen = {side: view.camera_points(to_device(anchors[side], device)) for side in SIDES}
        self.anchors = {side: network.sample(features, seen[side], view) for side in SIDES}
        everything = torch.cat([self.anchors[side].positions for side in SIDES], dim=1)
        self.centre = (everything.amin(1) + everything.amax(1)) / 2
        self.encoded = self._encode()
        self.context = self._in_context(self.encoded.code)
        self._folded = self._fold(self.context, precision)
        self._exact: FoldedHands | None = None
        self._joined: tuple[Tensor, Tensor, PictureFeatures, View, Tensor] | None = None

    def query(self, side: Side, points: Tensor) -> Sampled:
        """Convert query points to the camera and sample their picture features.

        Parameters
        ----------
        side : Side
            The hand whose query space the points are in.
        points : (B, N, 3) float
            Points, query space.

        Returns
        -------
        Sampled
            The points with their picture features.
        """
        return self.network.sample(self.features, self.initial[side].camera_points(points), self.view)

    def centred(self, sampled: Sampled, centre: Tensor | None = None) -> Tensor:
        """Return positions as the network takes them.

        Parameters
        ----------
        sampled : Sampled
            Points.
        centre : (H, 3) float64 or None
            The centres that belong to the points, if they are not of B hands.

        Returns
        -------
        (B, N, 3) float
            Positions relative to ``centre``, in units of ``RefinedSizes.unit``.
        """
        centre = self.centre if centre is None else centre
        return ((sampled.positions - centre[:, None]) / self.network.sizes.unit).to(sampled.features)

    def initial_occupancy(self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Compute the occupancy of the nested initial network.

        Parameters
        ----------
        side : Side
            The hand.
        points : (B, N, 3) float
            Points, query space.
        depth_reference : DepthReference
            Reference of the depth.

        Returns
        -------
        (B, N) float
            Occupancy probabilities.
        """
        with torch.no_grad():
            return self.initial[side].occupancy(points, depth_reference)

    def told(self, side: Side, points: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor]:
        """Compute what the anchors tell of points; see ``FoldedHands.told``.

        Parameters
        ----------
        side : Side
            The hand.
        points : (B, N, 3) float
            Points, query space.
        exact : bool
            As for ``logits``.

        Returns
        -------
        told : (B, N, C) float
            What the anchors tell.
        choice : (B, N) int64
            A number for the set of anchors that tell it: the same for the same set. Between points with the same set,
            what they tell changes smoothly.
        """
        hands, seen = self._of(side, self.folded(exact=exact)), self.initial[side]
        numbers = torch.full((hands.positions.shape[1],), _ODD, device=points.device).cumprod(0)
        choices: list[Tensor] = []

        def chunk(rows: slice) -> Tensor:
            positions = flipped(seen.camera_points(points[:, rows]))
            positions = ((positions - self.centre[:, None]) / self.network.sizes.unit).to(points)
            nearest = hands.nearest(positions)
            told = hands.told(positions, nearest)
            choices.append(numbers[nearest].sum(-1))
            return told

        return self._over(points, chunk), torch.cat(choices, dim=1)

    def logits(
        self, side: Side, points: Tensor, initial: Tensor, *, exact: bool = False, told: Tensor | None = None
    ) -> Tensor:
        """Compute refined logits, given the initial occupancy.

        Parameters
        ----------
        side : Side
            The hand.
        points : (B, N, 3) float
            Points, query space.
        initial : (B, N) float
            Initial occupancy, from ``initial_occupancy``.
        exact : bool
            Decode in the dtype of the weights, whatever the precision of the hands.
        told : (B, N, C) float or None
            What the anchors tell of the points, if it is known; see ``told``.

        Returns
        -------
        (B, N) float
            Logits.
        """
        return self._decode(self.folded(exact=exact), side, side, points, initial, told)

    def folded(self, *, exact: bool = False) -> FoldedHands:
        """Return the decoder of the 2B hands, all left ones first.

        Parameters
        ----------
        exact : bool
            As for ``logits``.

        Returns
        -------
        FoldedHands
            The decoder.
        """
        if not exact or self._precision is None:
            return self._folded
        if self._exact is None:
            self._exact = self._fold(self.context, None)
        return self._exact

    def refined_block(self, points: Tensor, initial: Tensor, *, exact: bool = False) -> Tensor:
        """Compute refined logits of all hands in one pass.

        Parameters
        ----------
        points : (2B, N, 3) float
            Points of the 2B hands in their query spaces, all left ones first.
        initial : (2B, N) float
            Logits of the initial network.
        exact : bool
            As for ``logits``.

        Returns
        -------
        (2B, N) float
            Logits.
        """
        turn, shift, features, view, centre = self._side_by_side()
        seen = torch.baddbmm(shift, points.to(turn), turn)
        sampled = self.network.sample(features, seen, view)
        return self._decoded(self.folded(exact=exact), sampled, centre, torch.sigmoid(initial))

    def _side_by_side(self) -> tuple[Tensor, Tensor, PictureFeatures, View, Tensor]:
        """Query space to the camera (turn, shift), picture features, cameras and centres of the 2B hands; made once."""
        if self._joined is None:
            sides = [self.initial[side] for side in SIDES]
            twice = PictureFeatures(
                self.features.initial, torch.cat([self.features.feature_map] * 2), self.features.code
            )
            view = View(*(torch.cat([value] * 2) for value in self.view))
            self._joined = (
                torch.cat([hand.camera_turn for hand in sides]).mT,
                torch.cat([hand.camera_shift for hand in sides])[:, None],
                twice, view, torch.cat([self.centre] * 2),
            )  # fmt: skip
        return self._joined

    def occupancy(self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist") -> Tensor:
        """Compute the refined occupancy of a hand.

        Parameters
        ----------
        side : Side
            The hand.
        points : (B, N, 3) float
            Points, query space.
        depth_reference : DepthReference
            Reference of the depth in the initial network.

        Returns
        -------
        (B, N) float
            Occupancy probabilities.
        """
        return torch.sigmoid(self.logits(side, points, self.initial_occupancy(side, points, depth_reference)))

    def occupancy_at_other(
        self, side: Side, points: Tensor, depth_reference: DepthReference = "wrist", *, compatibility: bool = False
    ) -> Tensor:
        """Compute the occupancy of a hand at the other hand's points: the penetration term of training.

        Parameters
        ----------
        side : Side
            The hand whose occupancy to compute.
        points : (B, N, 3) float
            Points, in the OTHER hand's query space.
        depth_reference : DepthReference
            See ``initial_hand.InitialHand.occupancy_at_other``.
        compatibility : bool
            Reproduce two defects of the published code: the initial network is evaluated in the wrong frame, and the
            hand codes pass through the context layer twice. False gives the occupancy that ``occupancy`` gives at the
            same place.

        Returns
        -------
        (B, N) float
            Occupancy probabilities.
        """
        other: Side = "right" if side == "left" else "left"
        with torch.no_grad():
            initial = self.initial[side].occupancy_at_other(
                self.initial[other], points, depth_reference, compatibility=compatibility
            )
        folded = self._fold(self._in_context(self.context), self._precision) if compatibility else self._folded
        return torch.sigmoid(self._decode(folded, side, other, points, initial))

    def _encode(self) -> EncodedAnchors:
        """Encode the anchors of the 2B hands."""
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
        """Combine hand codes (2B, 256) with those of the other hands and of the pictures."""
        left, right = codes.split(self.batch)
        picture = self.features.code
        return self.network.context_enc(
            torch.cat([torch.cat([left, right, picture], dim=1), torch.cat([right, left, picture], dim=1)])
        )

    def _fold(self, context: Tensor, precision: torch.dtype | None) -> FoldedHands:
        """Fold the decoder for hand codes (2B, 256) in context."""
        encoded = self.encoded
        return self.network.trans_dec.fold(context, encoded.positions, encoded.features, precision)

    def _of(self, side: Side, folded: FoldedHands) -> FoldedHands:
        """The B hands of a side among the 2B hands."""
        return folded[: self.batch] if side == "left" else folded[self.batch :]

    def _over(self, points: Tensor, evaluate: Callable[[slice], Tensor]) -> Tensor:
        """The values of points (B, N, 3), evaluated in chunks."""
        chunk = CHUNK if points.device.type == "cpu" else CHUNK_ACCELERATOR
        if torch.is_grad_enabled():
            chunk = points.shape[1]
        return self.network.chunks.over(points.shape[1], chunk, evaluate, dim=1)

    def _decode(
        self, folded: FoldedHands, side: Side, owner: Side, points: Tensor, initial: Tensor, told: Tensor | None = None
    ) -> Tensor:
        """Logits of the hand ``side`` at points in the query space of ``owner``."""
        hands = self._of(side, folded)

        def chunk(rows: slice) -> Tensor:
            known = None if told is None else told[:, rows]
            return self._decoded(hands, self.query(owner, points[:, rows]), self.centre, initial[:, rows], known)

        return self._over(points, chunk)

    def _decoded(
        self, hands: FoldedHands, queries: Sampled, centre: Tensor, occupancy: Tensor, told: Tensor | None = None
    ) -> Tensor:
        """Logits (H, N) of H hands at queries (H, N), whose initial occupancy is ``occupancy`` (H, N)."""
        features = queries.features
        extra = torch.cat([features, occupancy.to(features)[..., None].expand(-1, -1, IMAGE_CHANNELS)], dim=-1)
        logits = hands.logits(self.centred(queries, centre), extra) if told is None else hands.decode(told, extra)
        if self.network.sizes.residual:
            logits = logits + torch.logit(occupancy.to(logits), _LOGIT_EPSILON)
        return logits
