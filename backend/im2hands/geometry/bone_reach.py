"""Region around each bone in which its part network is evaluated.

A point is within reach of a bone when its distance from the bone's segments is below a share of the palm length.
Elsewhere the bone counts as not occupied, so its network is not evaluated. This makes evaluation several times
cheaper. The reach belongs to the weights, because they are trained with it. Weights without a reach evaluate all bones
at every point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bones import BONE_ENDS

# Segments between keypoints (file order) that carry each bone. The palm is a fan from the wrist to the thumb CMC and to
# the MCPs, closed by the segments between neighbours.
_PALM_SEGMENTS = ((0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (1, 5), (5, 9), (9, 13), (13, 17))
_SEGMENTS = tuple((0, a, b) for a, b in _PALM_SEGMENTS) + tuple(
    (bone, a, b) for bone, (a, b) in enumerate(BONE_ENDS) if bone
)
SEGMENT_BONES = tuple(bone for bone, _, _ in _SEGMENTS)
"""The bone (0 to 15) that each of the 24 segments belongs to."""


@dataclass(frozen=True)
class BoneReach:
    """BoneReach of the sixteen bones.

    Parameters
    ----------
    radius : tuple of 16 floats
        BoneReach of each bone as a share of the palm length (distance from the wrist to the middle MCP).
    stump : float
        Length of the forearm stump behind the wrist, metres. A plane at that distance, perpendicular to the line from
        the wrist to the middle MCP, cuts the forearm.
    """

    radius: tuple[float, ...]
    stump: float

    @classmethod
    def default(cls) -> BoneReach:
        """The reach that the bundled weights are trained with."""
        radius = [0.30] * 16
        radius[0], radius[13], radius[14] = 0.45, 0.40, 0.36
        return cls(tuple(radius), 0.02)


def segment_ends(keypoints: Tensor, stump: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the segments that carry the bones, in the order of ``SEGMENT_BONES``.

    The segment from the wrist to the middle MCP is extended by ``stump`` behind the wrist.

    Parameters
    ----------
    keypoints : (B, 21, 3) float
        Keypoints in file order, any frame and unit.
    stump : float
        Length of the forearm stump behind the wrist, in the unit of ``keypoints``.

    Returns
    -------
    starts : (B, 24, 3) float
        Starts of the segments, in the frame and unit of ``keypoints``.
    ends : (B, 24, 3) float
        Ends of the segments.
    """
    starts = keypoints[:, [a for _, a, _ in _SEGMENTS]].clone()
    ends = keypoints[:, [b for _, _, b in _SEGMENTS]]
    towards = keypoints[:, 9] - keypoints[:, 0]
    towards = towards / torch.linalg.vector_norm(towards, dim=-1, keepdim=True)
    starts[:, 2] = keypoints[:, 0] - stump * towards
    return starts, ends


def squared_distance_to_segments(points: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Return squared distances of points to line segments.

    Parameters
    ----------
    points : (B, N, 3) float
        Points, any frame and unit.
    starts : (B, S, 3) float
        Starts of the segments, same frame and unit.
    ends : (B, S, 3) float
        Ends of the segments.

    Returns
    -------
    (B, N, S) float
        Squared distances in the square of that unit.
    """
    along = ends - starts
    length2 = (along * along).sum(-1).clamp_min(1e-12)
    # t = <p - a, d> / |d|^2 and |p - a - t d|^2 = |p - a|^2 - 2 t <p - a, d> + t^2 |d|^2, by matrix products.
    dot = points @ along.mT - (starts * along).sum(-1)[:, None]
    t = (dot / length2[:, None]).clamp(0, 1)
    from_start = (points * points).sum(-1, keepdim=True) - 2 * (points @ starts.mT) + (starts * starts).sum(-1)[:, None]
    return (from_start - 2 * t * dot + t * t * length2[:, None]).clamp_min(0)


def within_reach(points: Tensor, keypoints: Tensor, reach: BoneReach) -> Tensor:
    """Return which bones are evaluated at which points.

    Behind the plane that cuts the forearm (canonical x of at least ``reach.stump``) no bone is within reach.

    Parameters
    ----------
    points : (B, N, 3) float
        Points, canonical frame, metres.
    keypoints : (B, 21, 3) float
        Keypoints in file order, canonical frame, metres.
    reach : BoneReach
        BoneReach of the bones.

    Returns
    -------
    (B, N, 16) bool
        Whether the point is within reach of the bone.
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
