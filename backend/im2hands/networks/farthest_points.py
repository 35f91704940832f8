"""Farthest point sampling: a subset of a point cloud that covers it evenly (specification 7.5)."""

from __future__ import annotations

import torch
from torch import Tensor

PUBLISHED_GUARD = 1e-3
"""Squared metres: the published kernel overlooks points this close to the origin."""


@torch.no_grad()
def farthest_points(points: Tensor, count: int, *, guard: float | None = None) -> Tensor:
    """Pick points one by one, each the farthest from those picked before, starting with the first.

    Args:
        points: (B, P, 3), any frame, metres.
        count: how many to pick, 1 to P.
        guard: compatibility. Points whose squared distance from the origin is at most this are never picked, unless
            they come first. The published kernel takes such points for padding (:data:`PUBLISHED_GUARD`), so weights
            trained with it have not seen anchors there. None picks from all points, which covers the cloud evenly.

    Returns:
        (B, count) int64 indices into ``points``, in the order they were picked; of equally far points the first; where
        nothing can be picked, 0.

    Raises:
        ValueError: shapes or ``count`` that do not fit.

    Source: specification 7.5.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or not 1 <= count <= points.shape[1]:
        raise ValueError(f"cannot pick {count} of points {tuple(points.shape)}")
    x, y, z = points.float().unbind(-1)
    distance = torch.full_like(x, 1e10)
    if guard is not None:
        # A running minimum of -1 stays -1: never the farthest.
        distance = distance.masked_fill(x * x + y * y + z * z <= guard, -1.0)
    picked = torch.zeros(points.shape[0], count, dtype=torch.int64, device=points.device)
    for step in range(1, count):
        last = picked[:, step - 1, None]
        dx, dy, dz = x - x.gather(1, last), y - y.gather(1, last), z - z.gather(1, last)
        distance = torch.minimum(distance, dx * dx + dy * dy + dz * dz)
        picked[:, step] = distance.argmax(dim=1)
    return picked


def nearest_neighbours(centres: Tensor, points: Tensor, count: int) -> Tensor:
    """The nearest points of each centre by squared distance (7.4).

    Args:
        centres: (B, N, 3). points: (B, P, 3), same frame. count: neighbours, 1 to P.

    Returns:
        (B, N, count) int64 indices into ``points``, in no particular order.

    Raises:
        RuntimeError: fewer than ``count`` points.
    """
    with torch.no_grad():
        # |c - p|^2 without |c|^2, which all of a centre's points share. Measured from the middle of the points, so that
        # few digits cancel.
        middle = points.mean(1, keepdim=True)
        centres, points = centres - middle, points - middle
        squared = torch.baddbmm(points.square().sum(-1)[:, None], centres, points.mT, alpha=-2)
        return squared.topk(count, dim=-1, largest=False, sorted=False).indices


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Rows of a batched table.

    Args:
        values: (B, P, C). indices: (B, ...) int64 into P.

    Returns:
        (B, ..., C).
    """
    batch, size = values.shape[:2]
    offset = torch.arange(batch, device=values.device).reshape(-1, *[1] * (indices.ndim - 1)) * size
    return values.flatten(0, 1)[indices + offset]
