"""Estimation of the remaining time of a phase."""

from __future__ import annotations

import time


class EtaEstimator:
    """Estimates the remaining time from the mean speed since the phase began.

    Parameters
    ----------
    start : int
        Number of steps that were finished before the phase began.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._began = time.monotonic()

    def seconds_left(self, done: int, total: int) -> float | None:
        """Return the estimated time for the remaining steps.

        Parameters
        ----------
        done : int
            Number of finished steps.
        total : int
            Number of all steps.

        Returns
        -------
        float or None
            Seconds; None before the first step of this phase is finished.
        """
        if done >= total:
            return 0.0
        if done <= self._start:
            return None
        return (time.monotonic() - self._began) / (done - self._start) * (total - done)
