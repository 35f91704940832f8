"""The published networks as occupancy fields, and anchors on the surface of a hand."""

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
"""Number of anchors per hand: points on the initial surface that the refined stage uses, as in the published
checkpoints."""

_CANDIDATES = 8 * ANCHORS
# Margin around the keypoints, metres. A wrist extends about 35 mm to either side of its keypoint.
_MARGIN_M = 0.04
# Steps of the R2 low-discrepancy sequence on the unit square: the plastic number's inverse and its square.
_EVEN = (0.7548776662466927, 0.5698402909980532)

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
    return (own.amin(1) - _MARGIN_M).clamp(-half, half), (own.amax(1) + _MARGIN_M).clamp(-half, half)


def even_points(vertices: np.ndarray, faces: np.ndarray, count: int = ANCHORS) -> np.ndarray:
    """Spread points evenly over a mesh; the same mesh always gives the same points.

    Eight times as many candidates as ``ANCHORS``, each representing an equal area, are reduced by farthest point
    sampling. The published pipeline draws its anchors at random.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any frame, metres.
    faces : (F, 3) int
        Triangles.
    count : int
        Number of points.

    Returns
    -------
    (count, 3) float64
        Points on the mesh.
    """
    points = surface_points(vertices, faces)
    chosen = farthest_points(torch.from_numpy(points - points.mean(0))[None], count)[0]
    return points[chosen.numpy()]


def surface_points(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points of a mesh, each representing an equal area: the candidates of ``even_points``.

    Parameters
    ----------
    vertices : (V, 3) float
        Positions, any frame, metres.
    faces : (F, 3) int
        Triangles.

    Returns
    -------
    (4096, 3) float64
        Points on the mesh.
    """
    a, b, c = (np.asarray(vertices, np.float64)[faces[:, k]] for k in range(3))
    area = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1))
    number = np.arange(_CANDIDATES)
    face = np.searchsorted(area, (number + 0.5) / _CANDIDATES * area[-1]).clip(max=len(faces) - 1)
    u, v = ((number + 1) * step % 1 for step in _EVEN)
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    return a[face] + u * (b - a)[face] + v * (c - a)[face]
