"""Queries of many hands in blocks of few shapes, so that one call evaluates all hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from im2hands.networks.chunks import SMALLEST, Chunks

BLOCK = 4096
"""Queries per hand in the largest block."""

_GROWTH = 4  # ratio between successive block sizes


class PaddedQueries:
    """Evaluates queries of H hands, given hand by hand, in blocks (H, C).

    Every hand has its row. Short rows are padded with zeros, whose results are dropped. C is one of few sizes, so that
    a call needs to be compiled or recorded only once per size.

    Parameters
    ----------
    hands : int
        Number of hands, H.
    block : int
        The largest C.
    few_sizes : bool
        Pad C to one of few sizes. False only makes the rows equally long.
    """

    def __init__(self, hands: int, *, block: int = BLOCK, few_sizes: bool = True) -> None:
        self._hands, self._block, self._few_sizes = hands, block, few_sizes
        self._chunks = Chunks()

    def over(self, hands: Tensor, inputs: Sequence[Tensor], evaluate: Callable[..., Tensor]) -> Tensor:
        """Evaluate queries.

        Parameters
        ----------
        hands : (N,) int64
            The hand of each query, ascending.
        inputs : sequence of (N, ...) Tensor
            The arguments of each query.
        evaluate : callable
            Blocks (H, C, ...), one per input, to results (H, C).

        Returns
        -------
        (N,) Tensor
            The result of each query.

        Raises
        ------
        torch.OutOfMemoryError
            Even ``SMALLEST`` (256) queries per hand are too many for the device's memory.
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
        """C for a block of ``wanted`` queries per hand; ``most`` is the upper limit."""
        if not self._few_sizes:
            return max(wanted, 1)
        size = SMALLEST
        while size < wanted:
            size *= _GROWTH
        return min(size, most)
