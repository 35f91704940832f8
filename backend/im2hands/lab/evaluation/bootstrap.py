"""Means with confidence intervals by bootstrap over groups of samples that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
"""Resamples and confidence level of an interval."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval.

    Parameters
    ----------
    mean : float or None
        Mean of the samples; None without any.
    low : float or None
        Lower end of the interval; None for fewer than two groups.
    high : float or None
        Upper end.
    samples : int
        Number of samples.
    groups : int
        Number of groups.
    """

    mean: float | None
    low: float | None
    high: float | None
    samples: int
    groups: int


def estimate(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Estimate:
    """Estimate a mean.

    Whole groups are drawn, because the views of one frame share a hand: drawn one by one they would make the interval
    too narrow.

    Parameters
    ----------
    values : sequence of float
        One value a sample; NaN is left out.
    groups : sequence of str
        Group of each sample.
    seed : int
        Seed of the draws.

    Returns
    -------
    Estimate
    """
    array = np.asarray(values, np.float64)
    kept = np.isfinite(array)
    array = array[kept]
    if not len(array):
        return Estimate(None, None, None, 0, 0)
    _, numbers = np.unique(np.asarray(groups)[kept], return_inverse=True)
    sums, counts = np.bincount(numbers, array), np.bincount(numbers)
    if len(sums) < 2:
        return Estimate(float(array.mean()), None, None, len(array), len(sums))
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(array.mean()), float(low), float(high), len(array), len(sums))
