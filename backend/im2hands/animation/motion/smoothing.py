"""Smoothing: without lag over a finished take, and as frames come in.

The finished take is smoothed by penalised least squares (Whittaker 1923): the curve nearest to what was seen whose
third differences are small. How small is told by the motion itself, place by place: the penalty is the ratio of the
noise's variance to that of the motion's third differences there, so that a hand at rest stands still and a flick keeps
its peak. Live data goes through the one-euro filter (Casiez, Roussel and Vogel 2012).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import maximum_filter1d, uniform_filter1d

ORDER = 3
"""Of the differences that are kept small."""
_DIFFERENCE = np.array([-1.0, 3.0, -3.0, 1.0])
# Third differences of white noise have 20 times its variance.
_NOISE_GAIN = 20.0
_FIRST_PENALTY = 3.0
_PENALTIES = (0.05, 3.0e3)
_WINDOW = 7  # frames over which the motion's liveliness is judged
_LIVELY_WINDOW = 5
_ROUNDS = 3
DEFAULT_STRENGTH = 0.5
_STRENGTH_DECADES = 4.0
# Of the penalty that noise and motion tell: the smoothed curve shows a little less motion than there is. But what
# networks see wrong stays wrong for some frames, and the third differences tell but a part of such noise.
_USUAL = 1.5


def smooth(
    values: np.ndarray, weights: np.ndarray, strength: float = DEFAULT_STRENGTH, liveliest: np.ndarray | None = None,
    lasting: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Smooth a motion without lag.

    Args:
        values: (N, D), D coordinates that move together (they share one penalty); what has no weight is ignored, also
            NaN. weights: (N,), 1 for what was seen, 0 for what is to be filled in. strength: 0 not at all, 0.5 as told
            by noise and motion, 1 a hundred times that. liveliest: (N - 3,) motion is taken to be no livelier than this
            (see :func:`liveliness`), whatever the values say. lasting: so many times the usual penalty, for noise that
            lasts over more frames than usual.

    Returns:
        (N, D). Frames without weight are filled by the smoothest curve.
    """
    if strength <= 0 or len(values) <= ORDER or (weights > 0).sum() <= ORDER:
        return filled(values, weights)
    clean = np.where((weights > 0)[:, None], values, 0.0)
    start = filled(values, weights)
    third = np.diff(start, n=ORDER, axis=0)
    seen = np.convolve(weights > 0, np.ones(ORDER + 1), "valid") > ORDER
    if not seen.any():
        return start
    # The median of what motion and noise do together: motion is rare, noise always there.
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
    # Smoothed once more is what that leaves (Tukey's twicing): peaks lose the square of what they would lose.
    left = np.where((weights > 0)[:, None], clean - smoothed, 0.0)
    return smoothed + _solve(left, weights, penalty)


def liveliness(smoothed: np.ndarray) -> np.ndarray:
    """(N - 3,) mean squared third differences of a motion (N, D) that is smooth already, around each place."""
    motion = (np.diff(smoothed, n=ORDER, axis=0) ** 2).mean(axis=1)
    found: np.ndarray = uniform_filter1d(maximum_filter1d(motion, _LIVELY_WINDOW), _WINDOW, mode="nearest")
    return found


def _solve(values: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """argmin of sum w (x - v)^2 + sum penalty (third difference of x)^2; values (N, D), penalty (N - 3,)."""
    count = len(values)
    # A trace of weight holds the ends of a track whose first or last frames have none.
    weights = np.maximum(weights, 0.0)
    bands = np.zeros((ORDER + 1, count))
    for a in range(ORDER + 1):
        for b in range(a, ORDER + 1):
            bands[ORDER - (b - a), b : count - ORDER + b] += penalty * _DIFFERENCE[a] * _DIFFERENCE[b]
    bands[ORDER] += weights + 1e-9
    found: np.ndarray = solveh_banded(bands, weights[:, None] * values + 1e-9 * values)
    return found


def filled(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The values (N, D), those without weight replaced by straight lines between their neighbours."""
    known = np.flatnonzero(weights > 0)
    found = values.copy()
    if len(known) == 0 or len(known) == len(values):
        return found
    places = np.arange(len(values))
    for k in range(values.shape[1]):
        found[:, k] = np.interp(places, known, values[known, k])
    return found


class OneEuro:
    """The one-euro filter: smooths little where motion is fast, and looks at no frame but those before.

    Args:
        fps: frames a second. cutoff: Hz while nothing moves. speed: added to the cutoff, Hz per (unit a second).
            speed_cutoff: Hz, of the speed's own filter.
    """

    def __init__(self, fps: float, cutoff: float = 1.5, speed: float = 30.0, speed_cutoff: float = 4.0) -> None:
        self._fps, self._cutoff, self._speed, self._speed_cutoff = fps, cutoff, speed, speed_cutoff
        self._last: np.ndarray | None = None
        self._velocity: np.ndarray | None = None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The next frame's values (..., 3), filtered; rows of three share their speed. NaN keeps what was."""
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
        """Of the newest frame, for a low pass at ``cutoff`` Hz."""
        return 1.0 / (1.0 + self._fps / (2 * math.pi * cutoff))
