"""The published networks as occupancy fields, and anchors on the surface they give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from im2hands.geometry.bones import BOX, QUERY_SCALE, Bones
from im2hands.networks.farthest_points import farthest_points

from .occupancy_field import OUTSIDE_LOGIT

ANCHORS = 512
"""Points on the initial surface of a hand that the refined stage builds on (specification 7.3)."""

_CANDIDATES = 8 * ANCHORS
# Metres around the keypoints. A wrist is about 35 mm wide on either side of its keypoint.
_MARGIN_M = 0.04
# Fractional parts of multiples of these cover the unit square evenly (the plastic number's inverse and its square).
_EVEN = (0.7548776662466927, 0.5698402909980532)

HandLogits = Callable[[Tensor], Tensor]
"""Points (N, 3) of one hand's query space to logits (N,) of the occupancy."""


class PublishedField:
    """Networks without reach as an :class:`~im2hands.surfaces.occupancy_field.OccupancyField`.

    The box of a hand is that of its keypoints and 40 mm more, within the cube of +-0.22 m that the networks know.

    Args:
        bones: of B hands. keypoints: (B, 21, 3), the frame ``bones`` were made in, metres. networks: of the B hands.
        threshold: probability at the surface; logits are shifted so that the surface is at 0.
    """

    def __init__(self, bones: Bones, keypoints: Tensor, networks: Sequence[HandLogits], threshold: float) -> None:
        self.hand_count = len(networks)
        self._low, self._high = hand_boxes(bones, keypoints)
        self._networks = networks
        self._shift = math.log(threshold / (1 - threshold))

    def bounds(self, hand: int) -> tuple[Tensor, Tensor]:
        """See :class:`~im2hands.surfaces.occupancy_field.OccupancyField`."""
        return self._low[hand], self._high[hand]

    @torch.no_grad()
    def logits(self, hands: Tensor, points: Tensor) -> Tensor:
        """See :class:`~im2hands.surfaces.occupancy_field.OccupancyField`."""
        result = points.new_empty(len(points))
        for hand, network in enumerate(self._networks):
            rows = (hands == hand).nonzero()[:, 0]
            if len(rows):
                values = network(points[rows] / QUERY_SCALE).to(result) - self._shift
                result[rows] = values.clamp(OUTSIDE_LOGIT, -OUTSIDE_LOGIT)
        return result


def hand_boxes(bones: Bones, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (B, 3) of the boxes of B hands, canonical frame, metres; see :class:`PublishedField`."""
    half, own = BOX / 2 * QUERY_SCALE, bones.to_query_space(keypoints) * QUERY_SCALE
    return (own.amin(1) - _MARGIN_M).clamp(-half, half), (own.amax(1) + _MARGIN_M).clamp(-half, half)


def even_points(vertices: np.ndarray, faces: np.ndarray, count: int = ANCHORS) -> np.ndarray:
    """Points spread evenly over a mesh; the same mesh gives the same points.

    Eight times as many points, each for an equal area, are thinned by picking the farthest from those picked before.
    The published pipeline draws them at random.

    Args:
        vertices: (V, 3), any frame, metres. faces: (F, 3). count: of points.

    Returns:
        (count, 3) float64.
    """
    points = surface_points(vertices, faces)
    chosen = farthest_points(torch.from_numpy(points - points.mean(0))[None], count)[0]
    return points[chosen.numpy()]


def surface_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points (4096, 3) float64 of a mesh, each for an equal area: those that :func:`even_points` chooses from."""
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    number = np.arange(_CANDIDATES)
    face = np.searchsorted(area, (number + 0.5) / _CANDIDATES * area[-1]).clip(max=len(faces) - 1)
    u, v = ((number + 1) * step % 1 for step in _EVEN)
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    return a[face] + u * (b - a)[face] + v * (c - a)[face]
