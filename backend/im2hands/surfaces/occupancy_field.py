"""Occupancy fields: the occupancy of the hands of one frame as a function of query points.

The hands are encoded once and evaluated at any number of points.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from im2hands.core.devices import to_device
from im2hands.geometry.bone_reach import BoneReach, HandsReach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, THICKNESS_COUNT, Bones
from im2hands.networks.part_decoder import PartDecoder

OUTSIDE_LOGIT = -20.0
"""Logit of a point beyond the reach of every bone. All logits are clamped to plus or minus its absolute value."""

SOFTNESS = 0.001
"""Width of the transition from inside to outside, metres: near the surface a logit is about ``-distance /
SOFTNESS``."""


class OccupancyField(Protocol):
    """Occupancy of a batch of hands, each in its own canonical frame, metres.

    Attributes
    ----------
    hand_count : int
        Number of hands in the batch.
    """

    hand_count: int

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """A box that contains a hand.

        Parameters
        ----------
        hand : int
            Index of the hand.

        Returns
        -------
        low : (3,) Tensor
            Lowest corner, canonical frame, metres.
        high : (3,) Tensor
            Highest corner, canonical frame, metres.
        """
        ...

    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """Evaluate the occupancy.

        Parameters
        ----------
        hands : (N,) int64
            The hand of each point.
        points : (N, 3) float
            Query points, each in its hand's canonical frame, metres.

        Returns
        -------
        (N,) Tensor
            Logits, positive inside.
        """
        ...


class PartField:
    """The occupancy field of the part occupancy network for given hands.

    Parameters
    ----------
    decoder : PartDecoder
        The part occupancy network.
    bones : Bones
        Bones of B hands.
    keypoints : (B, 21, 3) float
        Their keypoints, in the frame that ``bones`` were computed in, metres.
    reach : BoneReach, optional
        Distance up to which each bone's part network is evaluated; None evaluates every bone everywhere.
    chunk : int
        Number of queries evaluated at once; bounds the memory.
    """

    def __init__(
        self, decoder: PartDecoder, bones: Bones, keypoints: Tensor, reach: BoneReach | None, *, chunk: int = 16384
    ) -> None:
        self.hand_count = keypoints.shape[0]
        self._reach, self._chunk = reach, chunk
        dtype, device = decoder.pose_weight.dtype, decoder.pose_weight.device
        with torch.no_grad():
            self._folded, turn, shift = decoder.of_hands(bones)  # from query space; points in metres are asked here
            self._turn, self._shift = (turn / QUERY_SCALE).to(device, dtype), shift.to(device, dtype)
            self._keypoints = to_device(bones.to_query_space(keypoints) * QUERY_SCALE, device).to(dtype)
            thick = None if decoder.shape_encoder is None else bones.thickness
            thick = torch.ones(self.hand_count, THICKNESS_COUNT) if thick is None else thick
            self._thickness = to_device(thick, device).to(dtype)
            one = [slice(hand, hand + 1) for hand in range(self.hand_count)]
            self._near_bones = (
                [HandsReach(self._keypoints[k], reach, self._thickness[k]) for k in one] if reach is not None else []
            )

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """See ``OccupancyField.bounds``."""
        keypoints = self._keypoints[hand]
        if self._reach is None:
            half = keypoints.new_full((3,), 0.55 * QUERY_SCALE)
            return -half, half
        margin = 0.45 * torch.linalg.vector_norm(keypoints[9]) * self._thickness[hand].max()
        low, high = keypoints.min(0).values - margin, keypoints.max(0).values + margin
        high[0] = torch.minimum(high[0], high.new_tensor(self._reach.stump + 0.003))
        return low, high

    @torch.no_grad()
    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """See ``OccupancyField.logits``."""
        parts = [
            self._chunk_logits(hands[start : start + self._chunk], points[start : start + self._chunk])
            for start in range(0, len(points), self._chunk)
        ]
        return torch.cat(parts) if parts else points.new_zeros(0)

    def _near(self, hands: Tensor, points: Tensor) -> Tensor:
        """(N, 16) bool: the bones to evaluate at each point."""
        if self._reach is None:
            return torch.ones(len(points), BONE_COUNT, dtype=torch.bool, device=points.device)
        near = torch.empty(len(points), BONE_COUNT, dtype=torch.bool, device=points.device)
        for hand, bones in enumerate(self._near_bones):
            rows = (hands == hand).nonzero()[:, 0]
            near[rows] = bones.near(points[rows][None])[0]
        return near

    def _chunk_logits(self, hands: Tensor, points: Tensor) -> Tensor:
        bones, rows = self._near(hands, points).T.nonzero(as_tuple=True)
        owner = hands[rows]
        local = (self._turn[owner, bones] @ points[rows, :, None])[..., 0] + self._shift[owner, bones]
        pairs = self._folded.pair_logits(bones, owner, local)
        best = points.new_full((len(points),), OUTSIDE_LOGIT)
        best.scatter_reduce_(0, rows, pairs, "amax", include_self=True)
        if self._reach is not None:
            # The cut of the forearm is a plane, so its logit is computed from the distance without the network.
            best = torch.minimum(best, (self._reach.stump - points[:, 0]) / SOFTNESS)
        return best.clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)
