"""Both sides of B pictures evaluated together by the initial occupancy network, for accelerators.

An accelerator takes as long to launch a small operation as to compute it. So everything that the sides share, and the
part networks of both, are one operation each. ``initial_hand.InitialHand`` gives the same logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bone_reach import HandsReach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE

from .folded_parts import StackedParts
from .initial_hand import InitialHand
from .initial_points import OUT_OF_REACH, REACH, cut_off, seen_place


class InitialBlock:
    """The hands of both sides in each of B pictures; 2B hands, all left ones first.

    Parameters
    ----------
    hands : mapping of Side to InitialHand
        The hands of each side, of networks with the same sizes.
    """

    def __init__(self, hands: Mapping[Side, InitialHand]) -> None:
        both = [hands[side] for side in SIDES]
        self._hands, self._sizes, self._dtype = both, both[0].sizes, both[0].dtype
        self._camera_turn = torch.cat([hand.camera_turn for hand in both]).mT
        self._camera_shift = torch.cat([hand.camera_shift for hand in both])[:, None]
        # All bones of a hand in one product: (2B, 3, 48) and (2B, 1, 48).
        self._turn = torch.cat([hand.turn for hand in both]).flatten(1, 2).mT
        self._shift = torch.cat([hand.shift for hand in both]).flatten(1)[:, None]
        intrinsics = [hand.intrinsics for hand in both if hand.intrinsics is not None]
        self._intrinsics = torch.cat(intrinsics) if intrinsics else None
        joints = [hand.joints for hand in both if hand.joints is not None]
        thick = [hand.thickness for hand in both if hand.thickness is not None]
        thickness = torch.cat(thick) if thick else None
        self._reach = HandsReach(torch.cat(joints), REACH, thickness) if self._sizes.reach else None
        self._parts = StackedParts.joined([hand.folded.stacked() for hand in both])

    def logits(self, points: Tensor) -> Tensor:
        """Compute the logits of the hands, with depths measured from the wrist.

        Parameters
        ----------
        points : (2B, N, 3) float
            Points, query space.

        Returns
        -------
        (2B, N) float
            Logits: the largest of the sixteen parts.
        """
        exact = points.to(self._camera_turn)
        seen = torch.baddbmm(self._camera_shift, exact, self._camera_turn)
        depth = seen[..., 2:] - self._camera_shift[..., 2:]
        given = seen_place(self._sizes, seen, depth, self._intrinsics).to(self._dtype)
        images = [
            hand.image_features(torch.cat([own, hand.networks.embedding(own)], dim=-1)).flatten(0, 1)
            for hand, own in zip(self._hands, given.chunk(len(SIDES)), strict=True)
        ]
        local = torch.baddbmm(self._shift, exact, self._turn).to(self._dtype)
        # (side, picture, point, bone, axis) to (side and bone, picture and point, axis)
        by_side = local.unflatten(-1, (BONE_COUNT, 3)).unflatten(0, (len(SIDES), -1))
        by_bone = by_side.permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)
        parts = self._parts.logits(by_bone, images).unflatten(0, (len(SIDES), BONE_COUNT))
        logits = parts.unflatten(-1, (-1, points.shape[1])).movedim(1, -1).flatten(0, 1)
        if self._reach is not None:
            logits = cut_off(points, torch.where(self._reach.near(points * QUERY_SCALE), logits, OUT_OF_REACH))
        return logits.amax(-1)
