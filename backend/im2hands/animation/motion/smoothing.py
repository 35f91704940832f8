"""Smoothing of motion: without lag over a complete take, and causally frame by frame.

A complete take is smoothed by penalised least squares (Whittaker 1923): the curve closest to the observations whose
third differences are small. The penalty is estimated locally: it is the ratio of the noise variance to the variance of
the motion's third differences at that place. So a hand at rest stays still, and a quick movement keeps its peak. Live
data is filtered with the one-euro filter (Casiez, Roussel and Vogel 2012).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import maximum_filter1d, uniform_filter1d

ORDER = 3
"""Order of the differences that are penalised."""
_DIFFERENCE = np.array([-1.0, 3.0, -3.0, 1.0])
# Third differences of white noise have 20 times its variance.
_NOISE_GAIN = 20.0
_FIRST_PENALTY = 3.0
_PENALTIES = (0.05, 3.0e3)
_WINDOW = 7  # frames over which the liveliness is averaged
_LIVELY_WINDOW = 5  # frames over which its maximum is taken first
_ROUNDS = 3
DEFAULT_STRENGTH = 0.5
"""Strength at which the penalty is the estimated one."""
_STRENGTH_DECADES = 4.0
# Factor on the estimated penalty. The smoothed curve has a little less motion than there is, which makes the estimate
# too large. But the errors of networks last for some frames, and the third differences show only a part of such noise.
_USUAL = 1.5


def smooth(
    values: np.ndarray, weights: np.ndarray, strength: float = DEFAULT_STRENGTH, liveliest: np.ndarray | None = None,
    lasting: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Smooth a motion without lag.

    Parameters
    ----------
    values : (N, D) float
        D coordinates that move together; they share one penalty. Values without weight are ignored and may be NaN.
    weights : (N,) float
        1 for an observation, 0 for a frame to be filled.
    strength : float
        0 for none, 0.5 for the estimated penalty, 1 for a hundred times that penalty.
    liveliest : (N - 3,) float, optional
        Upper limit of the motion's liveliness (see ``liveliness``), whatever the values show.
    lasting : float
        Factor on the penalty, for noise that is correlated over more frames than usual.

    Returns
    -------
    (N, D) float
        The smoothed motion. Frames without weight are filled by the smoothest curve.
    """
    if strength <= 0 or len(values) <= ORDER or (weights > 0).sum() <= ORDER:
        return filled(values, weights)
    clean = np.where((weights > 0)[:, None], values, 0.0)
    start = filled(values, weights)
    third = np.diff(start, n=ORDER, axis=0)
    seen = np.convolve(weights > 0, np.ones(ORDER + 1), "valid") > ORDER
    if not seen.any():
        return start
    # The median is dominated by noise, because motion is rare. 0.455 is the median of a squared standard normal.
    noise = np.median(third[seen] ** 2, axis=0).mean() / 0.455 / _NOISE_GAIN
    penalty = np.full(len(third), _FIRST_PENALTY)
    factor = lasting * _USUAL * 10.0 ** (_STRENGTH_DECADES * (strength - DEFAULT_STRENGTH))
    smoothed = _solve(clean, weights, penalty)
    for _ in range(_ROUNDS):
        lively = liveliness(smoothed)
        if liveliest is not None:
            lively = np.minimum(lively, liveliest)
        penalty = np.clip(noise / np.maximum(lively, 1e-30), *_PENALTIES)
        smoothed = _solve(clean, weights, penalty)
    penalty *= factor
    smoothed = _solve(clean, weights, penalty)
    # The residual is smoothed and added (Tukey's twicing): a peak loses only the square of the share it would lose.
    left = np.where((weights > 0)[:, None], clean - smoothed, 0.0)
    return smoothed + _solve(left, weights, penalty)


def liveliness(smoothed: np.ndarray) -> np.ndarray:
    """Local mean of the squared third differences of a motion.

    Parameters
    ----------
    smoothed : (N, D) float
        A motion that is smooth already.

    Returns
    -------
    (N - 3,) float
        Mean squared third differences around each place.
    """
    motion = (np.diff(smoothed, n=ORDER, axis=0) ** 2).mean(axis=1)
    found: np.ndarray = uniform_filter1d(maximum_filter1d(motion, _LIVELY_WINDOW), _WINDOW, mode="nearest")
    return found


def _solve(values: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Minimise ``sum w (x - v)^2 + sum penalty (third difference of x)^2`` for values (N, D) and penalty (N - 3,)."""
    count = len(values)
    # A tiny weight (1e-9) determines the ends of a track whose first or last frames have no weight.
    weights = np.maximum(weights, 0.0)
    bands = np.zeros((ORDER + 1, count))
    for a in range(ORDER + 1):
        for b in range(a, ORDER + 1):
            bands[ORDER - (b - a), b : count - ORDER + b] += penalty * _DIFFERENCE[a] * _DIFFERENCE[b]
    bands[ORDER] += weights + 1e-9
    found: np.ndarray = solveh_banded(bands, weights[:, None] * values + 1e-9 * values)
    return found


def filled(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Replace values without weight by linear interpolation.

    Parameters
    ----------
    values : (N, D) float
        Values.
    weights : (N,) float
        Values with a weight above 0 are kept.

    Returns
    -------
    (N, D) float
        The values. Without any weight they are unchanged.
    """
    known = np.flatnonzero(weights > 0)
    found = values.copy()
    if len(known) == 0 or len(known) == len(values):
        return found
    places = np.arange(len(values))
    for k in range(values.shape[1]):
        found[:, k] = np.interp(places, known, values[known, k])
    return found


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
