"""Evaluation of queries in chunks that fit into the memory of the device."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from im2hands.core.gpu import is_out_of_memory, release_memory

SMALLEST = 256
"""Queries of the smallest chunk, if nothing else is said."""

_log = logging.getLogger(__name__)


class Chunks:
    """Evaluates queries in chunks.

    When the device runs out of memory, the chunk is halved and the smaller size is kept for later calls.

    Parameters
    ----------
    smallest : int
        Queries of the smallest chunk. If a device runs out of memory even with these, the error is passed on.
    """

    def __init__(self, smallest: int = SMALLEST) -> None:
        self._limit: int | None = None
        self._smallest = smallest

    def over(self, queries: int, size: int, evaluate: Callable[[slice], Tensor], dim: int = 0) -> Tensor:
        """Evaluate queries, at most ``size`` at once.

        Parameters
        ----------
        queries : int
            Number of queries.
        size : int
            Most queries to evaluate at once.
        evaluate : callable
            Returns the values of the queries in a slice.
        dim : int
            Dimension of the values along which queries lie.

        Returns
        -------
        Tensor
            The values of all queries.

        Raises
        ------
        RuntimeError
            The smallest chunk is too much for the device's memory.
        """
        results: list[Tensor] = []
        start = 0
        while start < queries or not results:
            step = max(size if self._limit is None else min(size, self._limit), 1)
            try:
                results.append(evaluate(slice(start, start + step)))
            except RuntimeError as error:  # Metal has no type of its own for it
                if not is_out_of_memory(error) or min(step, queries) <= self._smallest:
                    raise
                self._limit = max(min(step, queries) // 2, self._smallest)
                _log.warning("%d queries at once are too many for this device's memory; trying %d", step, self._limit)
            else:
                start += step
                continue
            # Only outside the except clause are the tensors of the failed attempt released.
            release_memory()
        return torch.cat(results, dim)
