"""The one-euro filter, a causal smoothing that the benchmarks compare with.

Casiez et al., "1 Euro Filter" (CHI 2012).
"""

from __future__ import annotations

import math

import numpy as np


class OneEuro:
    """The one-euro filter: a causal low pass whose cutoff rises with speed, so that fast motion is smoothed little.

    Parameters
    ----------
    fps : float
        Frames per second.
    cutoff : float
        Cutoff at rest, Hz.
    speed : float
        Increase of the cutoff with speed, Hz per (unit per second).
    speed_cutoff : float
        Cutoff of the filter of the speed itself, Hz.
    """

    def __init__(self, fps: float, cutoff: float = 1.5, speed: float = 30.0, speed_cutoff: float = 4.0) -> None:
        self._fps, self._cutoff, self._speed, self._speed_cutoff = fps, cutoff, speed, speed_cutoff
        self._last: np.ndarray | None = None
        self._velocity: np.ndarray | None = None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Filter the values of the next frame.

        Parameters
        ----------
        values : (..., 3) float
            Points; the three coordinates share one speed. NaN repeats the last value.

        Returns
        -------
        (..., 3) float
            Filtered points.
        """
        if self._last is None or self._velocity is None:
            self._last, self._velocity = values.copy(), np.zeros_like(values)
            return values
        seen = np.isfinite(values)
        fresh = ~np.isfinite(self._last)
        last = np.where(fresh, values, self._last)
        given = np.where(seen, values, last)
        velocity = (given - last) * self._fps
        share = self._share(np.array(self._speed_cutoff))
        self._velocity = np.where(seen, share * velocity + (1 - share) * self._velocity, self._velocity)
        pace = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        share = self._share(self._cutoff + self._speed * pace)
        self._last = share * given + (1 - share) * last
        return self._last

    def _share(self, cutoff: np.ndarray) -> np.ndarray:
        """Weight of the newest frame in a low pass with this cutoff in Hz."""
        return 1.0 / (1.0 + self._fps / (2 * math.pi * cutoff))
