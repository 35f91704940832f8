"""Queries in chunks that fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 256
"""Queries; where so few do not fit, nothing does."""

_log = logging.getLogger(__name__)


class Chunks:
    """Evaluates queries in chunks; smaller ones from then on where a device's memory was too small once."""

    def __init__(self) -> None:
        self._limit: int | None = None

    def over(self, queries: int, size: int, evaluate: Callable[[slice], Tensor], dim: int = 0) -> Tensor:
        """Evaluate a number of queries, at most ``size`` at once.

        Args:
            evaluate: a range of the queries to their values. dim: of the values, along which queries lie.

        Raises:
            torch.OutOfMemoryError: :data:`SMALLEST` queries are too many for the device's memory.
        """
        results: list[Tensor] = []
        start = 0
        while start < queries or not results:
            step = max(size if self._limit is None else min(size, self._limit), 1)
            try:
                results.append(evaluate(slice(start, start + step)))
            except torch.OutOfMemoryError:
                if min(step, queries) <= SMALLEST:
                    raise
                self._limit = max(min(step, queries) // 2, SMALLEST)
                _log.warning("%d queries at once are too many for this device's memory; trying %d", step, self._limit)
            else:
                start += step
                continue
            # Here, where what the failed attempt held is gone.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return torch.cat(results, dim)
