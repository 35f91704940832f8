"""How far from its bone each part network is asked: the region outside which a bone cannot be occupied.

A point is within reach of a bone when it lies closer to the bone's segments than a share of the palm's length. The
reach belongs to the weights (it is part of what was trained) and makes evaluation several times cheaper; weights
without a reach ask all bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bones import BONE_ENDS

# Segments between keypoints (file order) that carry each bone; the palm is a fan from the wrist to all knuckles.
_PALM_SEGMENTS = ((0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (1, 5), (5, 9), (9, 13), (13, 17))
_SEGMENTS = tuple((0, a, b) for a, b in _PALM_SEGMENTS) + tuple(
    (bone, a, b) for bone, (a, b) in enumerate(BONE_ENDS) if bone
)
SEGMENT_BONES = tuple(bone for bone, _, _ in _SEGMENTS)


@dataclass(frozen=True)
class BoneReach:
    """BoneReach of the sixteen bones.

    Args:
        radius: (16,) float, share of the palm's length (wrist to middle MCP).
        stump: how far the forearm goes on behind the wrist, metres: the surface is cut by the plane through that point,
        across
            the line from the wrist to the middle MCP.
    """

    radius: tuple[float, ...]
    stump: float

    @classmethod
    def default(cls) -> BoneReach:
        """The reach the bundled weights are trained with."""
        radius = [0.30] * 16
        radius[0], radius[13], radius[14] = 0.45, 0.40, 0.36
        return cls(tuple(radius), 0.02)


def segment_ends(keypoints: Tensor, stump: float) -> tuple[Tensor, Tensor]:
    """Ends (B, 24, 3) and (B, 24, 3) of the segments of :data:`SEGMENT_BONES` for keypoints (B, 21, 3), same frame and
    unit.

    The palm's middle segment begins ``stump`` (same unit) behind the wrist.
    """
    starts = keypoints[:, [a for _, a, _ in _SEGMENTS]].clone()
    ends = keypoints[:, [b for _, _, b in _SEGMENTS]]
    towards = keypoints[:, 9] - keypoints[:, 0]
    towards = towards / torch.linalg.vector_norm(towards, dim=-1, keepdim=True)
    starts[:, 2] = keypoints[:, 0] - stump * towards
    return starts, ends


def squared_distance_to_segments(points: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Squared distances (B, N, S) of points (B, N, 3) to segments (B, S, 3), (B, S, 3)."""
    along = ends - starts
    length2 = (along * along).sum(-1).clamp_min(1e-12)
    # t = <p - a, d> / |d|^2 and |p - a - t d|^2 = |p - a|^2 - 2 t <p - a, d> + t^2 |d|^2, by matrix products.
    dot = points @ along.mT - (starts * along).sum(-1)[:, None]
    t = (dot / length2[:, None]).clamp(0, 1)
    from_start = (points * points).sum(-1, keepdim=True) - 2 * (points @ starts.mT) + (starts * starts).sum(-1)[:, None]
    return (from_start - 2 * t * dot + t * t * length2[:, None]).clamp_min(0)


def within_reach(points: Tensor, keypoints: Tensor, reach: BoneReach) -> Tensor:
    """Which bones may be asked of which points.

    Args:
        points: (B, N, 3) and keypoints: (B, 21, 3), both in the canonical frame, metres.

    Returns:
        (B, N, 16) bool. Nothing is within reach behind the cut of the forearm (canonical x above ``stump``).
    """
    starts, ends = segment_ends(keypoints, reach.stump)
    squared = squared_distance_to_segments(points, starts, ends)
    palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)
    radius = points.new_tensor(reach.radius)
    limit = (radius[list(SEGMENT_BONES)] * palm[:, None]) ** 2
    inside = squared < limit[:, None]
    palm_segments = len(_PALM_SEGMENTS)
    near = torch.cat([inside[..., :palm_segments].any(-1, keepdim=True), inside[..., palm_segments:]], dim=-1)
    return near & (points[..., 0:1] < reach.stump)
