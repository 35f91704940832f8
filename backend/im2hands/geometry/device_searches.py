"""Searches in space on a graphics card: the results of ``geometry.searches``, without a tree.

Points are sorted along a curve that fills space and cut into blocks of equal size. The bounding boxes of the blocks
tell which blocks have to be compared, point by point. A search waits for the device three or four times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from im2hands.core.devices import constant, to_device
from im2hands.core.gpu import is_out_of_memory, release_memory

from .searches import Nearest, Searches, boxes

Result = TypeVar("Result")

_BLOCK = 32  # points in a block
_AT_ONCE = 1 << 22  # distances computed at once: 32 MB in float64, several times
_ALIKE = 1.5  # blocks are treated at once if one is compared with at most so many times the others of another
_ROUNDING = 1 + 1e-5  # of a distance, at most
_CURVE_BITS = 10  # of each coordinate along the curve
_SPREADS = ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249))
"""Shifts and masks that put two empty bits after each of the 10 bits of a number."""

_log = logging.getLogger(__name__)


class DeviceSearches(Searches):
    """The searches, on a graphics card. A search for which its memory does not suffice is done by the processor.

    Parameters
    ----------
    device : torch.device
        The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def nearest(self, points: np.ndarray) -> Nearest:
        """See ``Searches.nearest``."""
        centre = points.mean(axis=0)  # small numbers round less, where there is no float64
        among = self._tried(lambda: _Blocks.of(self._sent(points - centre)), lambda: None)
        if among is None:
            return Searches.nearest(self, points)

        def search(asked: np.ndarray, count: int) -> np.ndarray:
            def here() -> np.ndarray:
                rows: np.ndarray = _nearest(among, _Blocks.of(self._sent(asked - centre)), count).cpu().numpy()
                return rows

            return self._tried(here, lambda: Searches.nearest(self, points)(asked, count))

        return search

    def pairs(self, points: np.ndarray, radius: float) -> np.ndarray:
        """See ``Searches.pairs``."""
        if not len(points):
            return np.zeros((0, 2), dtype=np.int64)

        def here() -> np.ndarray:
            return _pairs(_Blocks.of(self._sent(points - points.mean(axis=0))), radius)

        return self._tried(here, lambda: Searches.pairs(self, points, radius))

    def overlapping(self, corners: np.ndarray) -> np.ndarray:
        """See ``Searches.overlapping``."""
        if not len(corners):
            return np.zeros((0, 2), dtype=np.int64)

        def here() -> np.ndarray:
            both = self._sent(np.concatenate(boxes(corners - corners.mean(axis=(0, 1)))))
            return _pairs(_Blocks.of(*both.split(len(corners))), 0.0)

        return self._tried(here, lambda: Searches.overlapping(self, corners))

    def _sent(self, values: np.ndarray) -> Tensor:
        return to_device(torch.from_numpy(np.ascontiguousarray(values, np.float64)), self._device)

    @staticmethod
    def _tried(here: Callable[[], Result], elsewhere: Callable[[], Result]) -> Result:
        try:
            return here()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        release_memory()
        _log.info("too little memory on the device for a search; the processor does it")
        return elsewhere()


class _Blocks:
    """M boxes in B blocks of S neighbouring ones. A point is a box without a size.

    Parameters
    ----------
    low, high : (B, S, 3)
        The boxes. The last block is filled up with copies of the last box.
    rows : (B, S) int64
        Their numbers.
    filling : (B, S)
        0; infinite for the copies, whose distance it makes infinite.
    size : int
        M.
    """

    def __init__(self, low: Tensor, high: Tensor, rows: Tensor, filling: Tensor, size: int) -> None:
        self.low, self.high, self.rows, self.filling, self.size = low, high, rows, filling, size
        self.lowest, self.highest = low.amin(1), high.amax(1)

    @classmethod
    def of(cls, low: Tensor, high: Tensor | None = None) -> _Blocks:
        """Cut boxes with corners (M, 3), or points, into blocks."""
        high = low if high is None else high
        first, last = low.amin(0), high.amax(0)
        span = (last - first).amax().clamp(min=1e-12)
        code = ((low + high) / 2 - first) * ((1 << _CURVE_BITS) - 1) / span
        code = code.int()
        for shift, mask in _SPREADS:
            code = (code | (code << shift)) & mask
        code = (code * constant((1, 2, 4), low.device, torch.int32)).sum(1)
        count = -(-len(low) // _BLOCK)
        place = torch.arange(count * _BLOCK, device=low.device)
        rows = code.argsort()[place.clamp(max=len(low) - 1)]
        filling = torch.zeros(len(place), dtype=low.dtype, device=low.device).masked_fill_(
            place >= len(low), float("inf")
        )
        shape, corners = (count, _BLOCK), (count, _BLOCK, 3)
        return cls(low[rows].view(corners), high[rows].view(corners), rows.view(shape), filling.view(shape), len(low))


def _gaps(low: Tensor, high: Tensor, other_low: Tensor, other_high: Tensor) -> Tensor:
    """Squares of the distances between boxes with corners (..., 3); 0 for boxes that overlap."""
    total: Tensor | None = None
    for axis in range(3):
        ahead = other_low[..., axis] - high[..., axis]
        gap = torch.maximum(ahead, low[..., axis] - other_high[..., axis]).clamp_(min=0)
        total = gap * gap if total is None else total.addcmul_(gap, gap)
    assert total is not None
    return total


def _distances(points: Tensor, others: Tensor) -> Tensor:
    """Distances (B, N, M) between points (B, N, 3) and others (B, M, 3)."""
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")  # the other way rounds too much


def _nearest(among: _Blocks, asked: _Blocks, count: int) -> Tensor:
    """Rows (N, count) of the points ``among`` others that are nearest to those ``asked``."""
    # The points within the block that seems nearest are an upper limit of the distance.
    middles = (among.lowest + among.highest) / 2
    first = _distances(asked.low, middles.expand(len(asked.low), -1, -1)).argmin(2).flatten()
    distance = _distances(asked.low.flatten(0, 1)[:, None], among.low[first])[:, 0] + among.filling[first]
    limit = (distance.topk(min(count, _BLOCK), largest=False).values[:, -1] * _ROUNDING).square()
    # All blocks within that distance of a block that asks are compared with it.
    reach = limit.view(asked.rows.shape).amax(1)
    near = _gaps(asked.lowest[:, None], asked.highest[:, None], among.lowest, among.highest) <= reach[:, None]
    many, which = near.sum(1).sort(descending=True)
    counts = many.tolist()
    order = near[which].int().argsort(1, descending=True)
    found, start = [], 0
    while start < len(counts):  # blocks that are compared with about as many others, at once
        most = counts[start]
        step = max(1, _AT_ONCE // (most * _BLOCK**2))
        stop = start + sum(_ALIKE * few >= most for few in counts[start : start + step])
        some, unasked = order[start:stop, :most], torch.arange(most, device=many.device) >= many[start:stop, None]
        extra = among.filling[some].masked_fill_(unasked[..., None], float("inf")).flatten(1)
        distance = _distances(asked.low[which[start:stop]], among.low[some].flatten(1, 2)).add_(extra[:, None])
        best = distance.topk(count, largest=False).indices
        found.append(among.rows[some].flatten(1)[:, None].expand(-1, _BLOCK, -1).gather(2, best))
        start = stop
    result = torch.empty(asked.size, count, dtype=torch.int64, device=many.device)
    # The copies that fill the last block have the row, and the neighbours, of the point that they copy.
    return result.index_copy_(0, asked.rows[which].flatten(), torch.cat(found).flatten(0, 1))


def _pairs(blocks: _Blocks, radius: float) -> np.ndarray:
    """Pairs (P, 2) of boxes within a distance of each other, the smaller row first."""
    near = _gaps(blocks.lowest[:, None], blocks.highest[:, None], blocks.lowest, blocks.highest) <= radius**2
    first, second = near.triu_().nonzero(as_tuple=True)
    place = torch.arange(blocks.rows.numel(), device=blocks.rows.device).view(blocks.rows.shape)
    found = []
    step = max(1, _AT_ONCE // _BLOCK**2)
    for start in range(0, len(first), step):
        a, b = first[start : start + step], second[start : start + step]
        gap = _gaps(
            blocks.low[a][:, :, None], blocks.high[a][:, :, None], blocks.low[b][:, None], blocks.high[b][:, None]
        )
        within = gap + blocks.filling[a][:, :, None] + blocks.filling[b][:, None] <= radius**2
        within &= place[a][:, :, None] < place[b][:, None]
        which, left, right = within.nonzero(as_tuple=True)
        found.append(torch.stack([blocks.rows[a[which], left], blocks.rows[b[which], right]], dim=1))
    pairs: np.ndarray = torch.cat(found).sort(dim=1).values.cpu().numpy()
    return pairs
