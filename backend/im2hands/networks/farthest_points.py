"""Farthest point sampling (an evenly spread subset of a point cloud) and nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.geometry.even_points import farthest

PUBLISHED_GUARD = 1e-3
"""Square metres: the published sampling kernel ignores points this close to the origin."""


@torch.no_grad()
def farthest_points(points: Tensor, count: int, *, guard: float | None = None) -> Tensor:
    """Pick points one by one, each the farthest from those already picked, starting with the first point.

    Parameters
    ----------
    points : (B, P, 3) float
        Point clouds, any frame and unit; metres if ``guard`` is given.
    count : int
        Points to pick, 1 to P.
    guard : float or None
        For compatibility with published weights. Points whose squared distance from the origin is at most ``guard`` are
        never picked, except as the first point. The published kernel takes such points for padding
        (``PUBLISHED_GUARD``), so weights trained with it have not seen anchors there. None picks from all points, which
        covers the cloud evenly.

    Returns
    -------
    (B, count) int64
        Indices into ``points`` in the order of picking. Of equally far points the one with the lowest index is picked.
        Where no point can be picked, the index is 0.

    Raises
    ------
    ValueError
        ``points`` or ``count`` has the wrong shape or range.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or not 1 <= count <= points.shape[1]:
        raise ValueError(f"cannot pick {count} of points {tuple(points.shape)}")
    # On the processor, also for points on a device: a pick follows from the one before, so a device would be asked for
    # nine tiny operations a pick.
    picked = torch.from_numpy(farthest(points.float().cpu().numpy(), count, guard))
    return picked.to(points.device)


def nearest_neighbours(centres: Tensor, points: Tensor, count: int) -> Tensor:
    """Find the nearest points of each centre.

    Parameters
    ----------
    centres : (B, N, 3) float
        Centres.
    points : (B, P, 3) float
        Points, same frame and unit.
    count : int
        Neighbours of each centre, 1 to P.

    Returns
    -------
    (B, N, count) int64
        Indices into ``points``, in no particular order.

    Raises
    ------
    RuntimeError
        There are fewer than ``count`` points.
    """
    with torch.no_grad():
        # |c - p|^2 without |c|^2, which is the same for all points of a centre. Coordinates are taken relative to the
        # mean point, so that few digits cancel.
        middle = points.mean(1, keepdim=True)
        centres, points = centres - middle, points - middle
        squared = torch.baddbmm(points.square().sum(-1)[:, None], centres, points.mT, alpha=-2)
        return squared.topk(count, dim=-1, largest=False, sorted=False).indices


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Gather rows of a batched table.

    Parameters
    ----------
    values : (B, P, C) float
        The table.
    indices : (B, ...) int64
        Row indices, 0 to P - 1.

    Returns
    -------
    (B, ..., C) float
        The rows.
    """
    batch, size = values.shape[:2]
    offset = torch.arange(batch, device=values.device).reshape(-1, *[1] * (indices.ndim - 1)) * size
    return values.flatten(0, 1)[indices + offset]
