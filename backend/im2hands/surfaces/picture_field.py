"""The published networks as occupancy fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from im2hands.geometry.bones import BOX, QUERY_SCALE, Bones

from .occupancy_field import OUTSIDE_LOGIT

# Margin around the keypoints, metres. A wrist extends about 35 mm to either side of its keypoint.
_MARGIN_M = 0.04

HandLogits = Callable[[Tensor], Tensor]
"""Maps points (N, 3) of one hand's query space to occupancy logits (N,)."""


class NetworkField:
    """One network per hand, evaluated everywhere, as an ``occupancy_field.OccupancyField``.

    The box of a hand is the bounding box of its keypoints plus 40 mm, within the cube of +-0.22 m that the networks
    were trained on.

    Parameters
    ----------
    bones : Bones
        Bones of B hands.
    keypoints : (B, 21, 3) float
        Their keypoints, in the frame that ``bones`` were computed in, metres.
    networks : sequence of HandLogits
        Networks of the B hands.
    threshold : float
        Probability at the surface. Logits are shifted so that the surface is at 0.
    """

    def __init__(self, bones: Bones, keypoints: Tensor, networks: Sequence[HandLogits], threshold: float) -> None:
        self.hand_count = len(networks)
        self._low, self._high = hand_boxes(bones, keypoints)
        self._networks = networks
        self._shift = math.log(threshold / (1 - threshold))

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """See ``OccupancyField.bounds``."""
        return self._low[hand], self._high[hand]

    @torch.no_grad()
    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """See ``OccupancyField.logits``."""
        result = points.new_empty(len(points))
        for hand, network in enumerate(self._networks):
            rows = (hands == hand).nonzero()[:, 0]
            if len(rows):
                values = network(points[rows] / QUERY_SCALE).to(result) - self._shift
                result[rows] = values.clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)
        return result


def hand_boxes(bones: Bones, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """The boxes of B hands; see ``NetworkField``.

    Parameters
    ----------
    bones : Bones
        Bones of B hands.
    keypoints : (B, 21, 3) float
        Their keypoints, in the frame that ``bones`` were computed in, metres.

    Returns
    -------
    low : (B, 3) Tensor
        Lowest corners, canonical frame, metres.
    high : (B, 3) Tensor
        Highest corners, canonical frame, metres.
    """
    half, own = BOX / 2 * QUERY_SCALE, bones.to_query_space(keypoints) * QUERY_SCALE
    margin: Tensor | float = _MARGIN_M
    if bones.thickness is not None:
        margin = _MARGIN_M * bones.thickness.amax(1).clamp_min(1)[:, None]
    return (own.amin(1) - margin).clamp(-half, half), (own.amax(1) + margin).clamp(-half, half)
