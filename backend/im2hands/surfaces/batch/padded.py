"""Queries of many hands in blocks of one shape, so that one call answers all hands and few shapes occur."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from im2hands.networks.chunks import SMALLEST, Chunks

BLOCK = 4096
"""Queries a hand in the largest block."""

_GROWTH = 4  # between the sizes of blocks


class PaddedQueries:
    """Evaluates queries of H hands, given hand by hand, in blocks (H, C).

    Every hand has its row; short rows are filled with the point 0, whose answers nobody sees. C is one of few sizes, so
    that a call can be compiled or recorded once for each.

    Args:
        hands: H. block: the largest C. few_sizes: pad to one of few sizes; else only rows are made equally long.
    """

    def __init__(self, hands: int, *, block: int = BLOCK, few_sizes: bool = True) -> None:
        self._hands, self._block, self._few_sizes = hands, block, few_sizes
        self._chunks = Chunks()

    def over(self, hands: Tensor, inputs: Sequence[Tensor], evaluate: Callable[..., Tensor]) -> Tensor:
        """Evaluate.

        Args:
            hands: (N,) int64, ascending: whose query it is. inputs: (N, ...) each, what a query brings along.
            evaluate: blocks (H, C, ...), one for each of the inputs, to (H, C).

        Returns:
            (N,).

        Raises:
            torch.OutOfMemoryError: 256 queries a hand are too many for the device's memory.
        """
        counts = torch.bincount(hands, minlength=self._hands)
        rank = torch.arange(len(hands), device=hands.device) - (counts.cumsum(0) - counts)[hands]
        longest = int(counts.max())

        def block(ranks: slice) -> Tensor:
            stop = min(ranks.stop, longest)
            size = self._size(stop - ranks.start, ranks.stop - ranks.start)
            rows = ((rank >= ranks.start) & (rank < stop)).nonzero()[:, 0]
            places = hands[rows] * size + rank[rows] - ranks.start
            blocks = []
            for values in inputs:
                padded = values.new_zeros(self._hands * size, *values.shape[1:])
                blocks.append(padded.index_copy_(0, places, values[rows]).unflatten(0, (self._hands, size)))
            return evaluate(*blocks)[:, : stop - ranks.start]

        answers = self._chunks.over(longest, self._block, block, dim=1)
        return answers[hands, rank]

    def _size(self, wanted: int, most: int) -> int:
        """C for a block of that many queries a hand."""
        if not self._few_sizes:
            return max(wanted, 1)
        size = SMALLEST
        while size < wanted:
            size *= _GROWTH
        return min(size, most)
