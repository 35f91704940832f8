"""How long the rest of a phase takes."""

from __future__ import annotations

import time


class EtaEstimator:
    """Estimate the remaining time from the pace so far.

    Parameters
    ----------
    start : int
        How much was done before the clock started.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._began = time.monotonic()

    def seconds_left(self, done: int, total: int) -> float | None:
        """Seconds for ``total - done`` more; None before the first is done."""
        if done >= total:
            return 0.0
        if done <= self._start:
            return None
        return (time.monotonic() - self._began) / (done - self._start) * (total - done)
