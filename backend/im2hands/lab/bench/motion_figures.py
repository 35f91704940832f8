"""Figures of a motion against its truth: jitter, error, lag, how much of a peak is kept."""

from __future__ import annotations

import numpy as np


def jitter(values: np.ndarray) -> float:
    """Mean length of the third differences of (N, K, 3) metres a frame cubed, in millimetres."""
    third = np.diff(values, n=3, axis=0)
    return float(np.nanmean(np.linalg.norm(third, axis=-1)) * 1000)


def error(values: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance (N, K, 3) metres to the truth, millimetres."""
    return float(np.nanmean(np.linalg.norm(values - truth, axis=-1)) * 1000)


def lag(values: np.ndarray, truth: np.ndarray, farthest: int = 6, steps: int = 4) -> float:
    """Frames, to a quarter, by which the values come late: the shift at which they lie closest to the truth."""
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
    """How much of a gesture between two frames is kept: the keypoints' largest way from the first frame, as a share.

    The way is measured along the true one, mean over the keypoints that move by more than 20 mm.
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
