"""Query points as the initial occupancy network takes them, and what it does beyond the reach of the bones."""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.geometry.bone_reach import BoneReach
from im2hands.geometry.bones import QUERY_SCALE

from .image_sampling import project
from .side_networks import InitialSizes

PICTURE_SIZE = 256
"""Pixels along each side of the picture that the intrinsics belong to."""

REACH = BoneReach.default()
"""BoneReach of the bones in networks that have one."""

OUT_OF_REACH = -20.0
"""Logit of a bone that is not evaluated because the point is out of its reach."""

CUT_SOFTNESS = 0.001
"""Metres at the cut of the forearm over which the logit falls by 1."""

_DECIMETRE = 0.1
_FAR = 4.0  # places in the picture are clamped to this (edges are at -1 and 1)


def seen_place(sizes: InitialSizes, seen: Tensor, depth: Tensor, intrinsics: Tensor | None) -> Tensor:
    """Return what the point features ``v`` begin with; see ``InitialSizes.projected``.

    Parameters
    ----------
    sizes : InitialSizes
        Sizes of the network.
    seen : (B, N, 3) float
        Points, camera frame, metres.
    depth : (B, N, 1) float
        Their depths from the reference, metres.
    intrinsics : (B, 3, 3) float or None
        Camera matrices, for networks with ``projected`` queries.

    Returns
    -------
    (B, N, 3) float
        Places and depths.
    """
    if not sizes.projected:
        return torch.cat([seen[..., :2], depth], dim=-1)
    assert intrinsics is not None
    half = PICTURE_SIZE / 2
    place = (project(seen, intrinsics)[0] + 0.5 - half) / half
    return torch.cat([place.clamp(-_FAR, _FAR), depth / _DECIMETRE], dim=-1)


def cut_off(points: Tensor, logits: Tensor) -> Tensor:
    """Return logits (B, N, 16) at points (B, N, 3) of query space with the forearm cut off."""
    cut = (REACH.stump - points[..., :1] * QUERY_SCALE) / CUT_SOFTNESS
    return torch.minimum(logits, cut.clamp_min(OUT_OF_REACH).to(logits))
