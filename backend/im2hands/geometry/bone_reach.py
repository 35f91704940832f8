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

from im2hands.core.devices import constant

from .bones import BONE_ENDS

# Segments between keypoints (file order) that carry each bone. The palm is a fan from the wrist to the thumb CMC and to
# the MCPs, closed by the segments between neighbours.
_PALM_SEGMENTS = ((0, 1), (0, 5), (0, 9), (0, 13), (0, 17), (1, 5), (5, 9), (9, 13), (13, 17))
_SEGMENTS = tuple((0, a, b) for a, b in _PALM_SEGMENTS) + tuple(
    (bone, a, b) for bone, (a, b) in enumerate(BONE_ENDS) if bone
)
_FIRST_ENDS, _SECOND_ENDS = (tuple(segment[k] for segment in _SEGMENTS) for k in (1, 2))
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
    first, second = (
        keypoints.index_select(1, constant(places, keypoints.device, torch.int64))
        for places in (_FIRST_ENDS, _SECOND_ENDS)
    )
    starts, ends = first.clone(), second
    towards = keypoints[:, 9] - keypoints[:, 0]
    towards = towards / torch.linalg.vector_norm(towards, dim=-1, keepdim=True)
    starts[:, 2] = keypoints[:, 0] - stump * towards
    return starts, ends


class Segments:
    """Line segments of B hands, with everything computed that does not depend on the points.

    Parameters
    ----------
    starts : (B, S, 3) float
        Starts of the segments, any frame and unit.
    ends : (B, S, 3) float
        Ends of the segments.
    """

    def __init__(self, starts: Tensor, ends: Tensor) -> None:
        along = ends - starts
        self._starts, self._along = starts.mT, along.mT
        self._length2 = (along * along).sum(-1).clamp_min(1e-12)[:, None]
        self._first = (starts * along).sum(-1)[:, None]
        self._start2 = (starts * starts).sum(-1)[:, None]

    def squared_distance(self, points: Tensor) -> Tensor:
        """Return squared distances of points to the segments.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, frame and unit of the segments.

        Returns
        -------
        (B, N, S) float
            Squared distances in the square of that unit.
        """
        # t = <p - a, d> / |d|^2 and |p - a - t d|^2 = |p - a|^2 - 2 t <p - a, d> + t^2 |d|^2, by matrix products.
        dot = points @ self._along - self._first
        t = (dot / self._length2).clamp(0, 1)
        from_start = (points * points).sum(-1, keepdim=True) - 2 * (points @ self._starts) + self._start2
        return (from_start - 2 * t * dot + t * t * self._length2).clamp_min(0)


class HandsReach:
    """The reach of the bones of B hands, with everything computed that does not depend on the points.

    Parameters
    ----------
    keypoints : (B, 21, 3) float
        Keypoints in file order, canonical frame, metres.
    reach : BoneReach
        Reach of the bones.
    thickness : (B, 17) float or None
        How thick the flesh of each bone is, by which its reach is longer; None for 1. See ``bones.Bones``.
    """

    def __init__(self, keypoints: Tensor, reach: BoneReach, thickness: Tensor | None = None) -> None:
        self._segments, self._stump = Segments(*segment_ends(keypoints, reach.stump)), reach.stump
        palm = torch.linalg.vector_norm(keypoints[:, 9] - keypoints[:, 0], dim=-1)
        radius = constant(tuple(reach.radius[bone] for bone in SEGMENT_BONES), keypoints.device, keypoints.dtype)
        limit = radius * palm[:, None]
        if thickness is not None:
            limit = limit * thickness.to(limit)[:, constant(SEGMENT_BONES, keypoints.device, torch.int64)]
        self._limit = (limit**2)[:, None]

    def near(self, points: Tensor) -> Tensor:
        """Return which bones are evaluated at which points.

        Behind the plane that cuts the forearm (canonical x of at least ``reach.stump``) no bone is within reach.

        Parameters
        ----------
        points : (B, N, 3) float
            Points, canonical frame, metres.

        Returns
        -------
        (B, N, 16) bool
            Whether the point is within reach of the bone.
        """
        inside = self._segments.squared_distance(points) < self._limit
        palm_segments = len(_PALM_SEGMENTS)
        near = torch.cat([inside[..., :palm_segments].any(-1, keepdim=True), inside[..., palm_segments:]], dim=-1)
        return near & (points[..., 0:1] < self._stump)
