"""Measures of a motion against the true motion: jitter, mean error, lag, and preserved amplitude."""

from __future__ import annotations

import numpy as np


def jitter(values: np.ndarray) -> float:
    """Mean length of the third differences in time.

    Parameters
    ----------
    values : (N, K, 3) float
        Positions of K points in N frames, metres; NaN where a point is missing.

    Returns
    -------
    float
        mm/frame³.
    """
    third = np.diff(values, n=3, axis=0)
    return float(np.nanmean(np.linalg.norm(third, axis=-1)) * 1000)


def error(values: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance to the true positions.

    Parameters
    ----------
    values : (N, K, 3) float
        Positions of K points in N frames, metres; NaN where a point is missing.
    truth : (N, K, 3) float
        True positions, metres.

    Returns
    -------
    float
        Millimetres.
    """
    return float(np.nanmean(np.linalg.norm(values - truth, axis=-1)) * 1000)


def lag(values: np.ndarray, truth: np.ndarray, farthest: int = 6, steps: int = 4) -> float:
    """Delay of a motion: the shift in time at which the true motion fits it best.

    Parameters
    ----------
    values : (N, K, 3) float
        Positions of K points in N frames, metres.
    truth : (N, K, 3) float
        True positions, metres.
    farthest : int
        Largest delay that is tried, frames; as many frames are ignored at each end.
    steps : int
        Tried delays per frame.

    Returns
    -------
    float
        Frames, positive if ``values`` is late.
    """
    places = np.arange(len(values), dtype=float)
    shifts = np.arange(-farthest * steps, farthest * steps + 1) / steps
    inside = slice(farthest, len(values) - farthest)
    errors = []
    for shift in shifts:
        later = np.clip(places - shift, 0, len(values) - 1)
        low = np.minimum(later.astype(int), len(values) - 2)
        share = (later - low)[:, None, None]
        moved = (1 - share) * truth[low] + share * truth[low + 1]
        errors.append(np.nanmean(np.linalg.norm((values - moved)[inside], axis=-1) ** 2))
    return float(shifts[int(np.argmin(errors))])


def peak_kept(values: np.ndarray, truth: np.ndarray, first: int, last: int) -> float:
    """Preserved amplitude of a gesture: the largest displacement from its first frame, as a share of the true one.

    The displacement is measured along the direction of the true one, and averaged over the keypoints that move by more
    than 20 mm.

    Parameters
    ----------
    values : (N, K, 3) float
        Positions of K keypoints in N frames, metres.
    truth : (N, K, 3) float
        True positions, metres.
    first : int
        First frame of the gesture.
    last : int
        Last frame of the gesture.

    Returns
    -------
    float
        1 if the gesture is preserved completely.
    """
    way = truth[first : last + 1] - truth[first]
    peak = np.linalg.norm(way, axis=-1).argmax(axis=0)
    columns = np.arange(truth.shape[1])
    largest = way[peak, columns]
    size = np.linalg.norm(largest, axis=-1)
    moving = size > 0.02
    along = largest[moving] / size[moving][:, None]
    own = ((values[first : last + 1][:, moving] - truth[first][moving]) * along).sum(axis=-1).max(axis=0)
    return float((own / size[moving]).mean())
