"""Occupancy of the hands of one frame as a function of points: encode once, query many."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from im2hands.geometry.bone_reach import BoneReach, within_reach
from im2hands.geometry.bones import BONE_COUNT, QUERY_SCALE, Bones
from im2hands.networks.part_decoder import PartDecoder

OUTSIDE_LOGIT = -20.0
"""Logit of a point that no bone can reach, and the bound of all logits."""

SOFTNESS = 0.001
"""Metres over which occupancy goes from inside to outside: near the surface a logit is about -distance / SOFTNESS."""


class OccupancyField(Protocol):
    """Occupancy of a batch of hands, each in its own canonical frame, metres."""

    hand_count: int

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """Lowest and highest corner, (3,) and (3,) metres, of a box that holds the hand."""
        ...

    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """Logits (N,) of ``points`` (N, 3) metres of the hands ``hands`` (N,) int64; positive inside."""
        ...


class PartField:
    """The part occupancy network for given hands.

    Args:
        decoder: its weights. bones: of the B hands. keypoints: (B, 21, 3), the frame ``bones`` were made in, metres.
        reach: how far each bone is asked; None asks every bone everywhere.
        chunk: queries evaluated at once; bounds the memory.
    """

    def __init__(
        self, decoder: PartDecoder, bones: Bones, keypoints: Tensor, reach: BoneReach | None, *, chunk: int = 16384
    ) -> None:
        self.hand_count = keypoints.shape[0]
        self._reach, self._chunk = reach, chunk
        dtype, device = decoder.pose_weight.dtype, decoder.pose_weight.device
        with torch.no_grad():
            self._folded = decoder.fold(bones.transforms, bones.lengths)
            # A canonical point x in metres has the bone-local point W (x / 0.4^2, 1).
            turn = bones.transforms[:, :, :3, :3] / QUERY_SCALE**2
            self._turn = turn.to(device, dtype)
            self._shift = bones.transforms[:, :, :3, 3].to(device, dtype)
            self._keypoints = (bones.to_query_space(keypoints) * QUERY_SCALE).to(device, dtype)

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """See :class:`OccupancyField`."""
        keypoints = self._keypoints[hand]
        if self._reach is None:
            half = keypoints.new_full((3,), 0.55 * QUERY_SCALE)
            return -half, half
        margin = 0.45 * torch.linalg.vector_norm(keypoints[9])
        low, high = keypoints.min(0).values - margin, keypoints.max(0).values + margin
        high[0] = torch.minimum(high[0], high.new_tensor(self._reach.stump + 0.003))
        return low, high

    @torch.no_grad()
    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """See :class:`OccupancyField`."""
        parts = [
            self._chunk_logits(hands[start : start + self._chunk], points[start : start + self._chunk])
            for start in range(0, len(points), self._chunk)
        ]
        return torch.cat(parts) if parts else points.new_zeros(0)

    def _near(self, hands: Tensor, points: Tensor) -> Tensor:
        """(N, 16) bool: the bones to ask of each point."""
        if self._reach is None:
            return torch.ones(len(points), BONE_COUNT, dtype=torch.bool, device=points.device)
        near = torch.empty(len(points), BONE_COUNT, dtype=torch.bool, device=points.device)
        for hand in range(self.hand_count):
            rows = (hands == hand).nonzero()[:, 0]
            near[rows] = within_reach(points[rows][None], self._keypoints[hand : hand + 1], self._reach)[0]
        return near

    def _chunk_logits(self, hands: Tensor, points: Tensor) -> Tensor:
        bones, rows = self._near(hands, points).T.nonzero(as_tuple=True)
        owner = hands[rows]
        local = (self._turn[owner, bones] @ points[rows, :, None])[..., 0] + self._shift[owner, bones]
        pairs = self._folded.pair_logits(bones, owner, local)
        best = points.new_full((len(points),), OUTSIDE_LOGIT)
        best.scatter_reduce_(0, rows, pairs, "amax", include_self=True)
        if self._reach is not None:
            # The cut of the forearm is a plane: a distance that the network need not be asked for.
            best = torch.minimum(best, (self._reach.stump - points[:, 0]) / SOFTNESS)
        return best.clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)
