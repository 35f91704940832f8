"""The pair judge: probabilities that a candidate is a hand and that two candidates are one person's two hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES

from .sides import log_odds

if TYPE_CHECKING:
    from im2hands.networks.pair_judge import PairJudgeNetwork

# A pair's probability is at least this share of the product of both single probabilities, if the hands lie apart and
# have similar sizes: distances of palms and of outlines (palm lengths), log2 of the size ratio.
_PLAUSIBLE = 0.8
_PALMS_APART, _OUTLINES_APART, _SIZE_RATIO = 0.35, 0.22, 0.7
# A detection of MediaPipe with this presence and agreement is a hand with at least the third number as its probability.
# A steady reading along a palm can be a false positive: on photographs the network reads coats steadily too.
_STEADY_PRESENCE, _STEADY_AGREEMENT, _STEADY = 0.95, 0.9, 0.95
# A hand that only the two-hand network reads counts only if it is hidden by another hand, that is, within this distance
# of its palm (palm lengths). On photographs that network reads pipes and folds as hands.
_OWN_REACH = 2.0


@dataclass(frozen=True)
class Verdict:
    """The judge's probabilities for N candidates.

    "Correct" means a mean error below the first of ``networks.pair_judge.GRADES``, "accurate" below the second.

    Parameters
    ----------
    single : (N, 2) float64
        Probability that a candidate is the left hand and that it is the right hand, with correct keypoints.
    pair : (N, N) float64
        Probability that the first candidate is the left hand and the second the right hand of one person, both with
        correct keypoints. The diagonal is 0.
    well : (N, N) float64
        The same as ``pair``, with accurate keypoints.
    two : (N, N) float64
        Probability that the two are one person's two hands, with either one as the left hand.
    """

    single: np.ndarray
    pair: np.ndarray
    well: np.ndarray
    two: np.ndarray

    def best(self, needed: Sequence[int] = ()) -> tuple[int, int] | None:
        """Return the best pair: most probable, and with accurate keypoints.

        Parameters
        ----------
        needed : Sequence[int]
            At most two candidates that must be in the pair.

        Returns
        -------
        tuple[int, int] or None
            Rows of the more probable left hand and of the other hand. None with fewer than two candidates.
        """
        if len(self.single) < 2:
            return None
        worth = np.where(self.two > 0, self.two + self.well + self.well.T, 0.0)
        for k in needed:
            holds = np.zeros(worth.shape, dtype=bool)
            holds[k, :] = holds[:, k] = True
            worth = np.where(holds, worth, -1.0)
        np.fill_diagonal(worth, -2.0)
        i, j = (int(k) for k in np.unravel_index(int(np.argmax(worth)), worth.shape))
        return (i, j) if self.pair[i, j] >= self.pair[j, i] else (j, i)


class PairJudge:
    """Judges candidates by their features.

    Parameters
    ----------
    network : PairJudgeNetwork
        The judge's network, on its device, in evaluation mode.
    """

    def __init__(self, network: PairJudgeNetwork) -> None:
        self._network = network

    def __call__(self, single: np.ndarray, pairs: np.ndarray) -> Verdict:
        """Judge candidates.

        Parameters
        ----------
        single : (N, 2, len(SINGLE_FEATURES)) float64
            Features of each candidate, from ``choosing.features.features``.
        pairs : (N, N, len(PAIR_FEATURES)) float64
            Features of each pair, from ``choosing.features.features``.

        Returns
        -------
        Verdict
            The probabilities.
        """
        import torch

        if not len(single):
            none = np.zeros((0, 0))
            return Verdict(np.zeros((0, 2)), none, none, none)
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            made = self._network(*(torch.from_numpy(given)[None].float().to(device) for given in (single, pairs)))
        alone, together = (torch.sigmoid(value[0].cpu().double()).numpy() for value in made)
        np.fill_diagonal(together[..., 0], 0.0)
        np.fill_diagonal(together[..., 1], 0.0)
        pair, well = together[..., 0], together[..., 1]
        # Two certain hands that lie apart and have one size are a pair, even if the network rates the pair low.
        found = is_steady(single[:, 1]) & (single[:, 1, SINGLE_FEATURES.index("from_task")] > 0)
        sure = np.maximum(alone[..., 0].sum(axis=1), _STEADY * found).clip(max=1.0)
        plausible = _PLAUSIBLE * np.outer(sure, sure) * apart(pairs)
        np.fill_diagonal(plausible, 0.0)
        two = np.where(_within_reach(single[:, 1], pairs), np.maximum(np.minimum(pair + pair.T, 1.0), plausible), 0.0)
        return Verdict(alone[..., 0], pair, well, two)


def _within_reach(single: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return (N, N) bool: False if one of the two is read by the two-hand network alone and lies far from the other."""
    own = single[:, SINGLE_FEATURES.index("from_palm")] > 0
    near = pairs[..., PAIR_FEATURES.index("palms_apart")] <= _OWN_REACH
    return np.asarray(near | ~(own[:, None] | own[None]))


def is_steady(single: np.ndarray) -> np.ndarray:
    """Return whether candidates were read with high presence and in the same place by repeated readings.

    Parameters
    ----------
    single : (..., S) float64
        Single features of the candidates.

    Returns
    -------
    (...) bool
        False also for candidates that only the two-hand network reads.
    """
    named = dict(zip(SINGLE_FEATURES, np.moveaxis(single, -1, 0), strict=True))
    steady = (named["presence"] >= float(log_odds(_STEADY_PRESENCE)) / 4) & (named["agreement"] >= _STEADY_AGREEMENT)
    return np.asarray(steady & (named["from_palm"] == 0))


def apart(pairs: np.ndarray) -> np.ndarray:
    """Return how well pairs fit two hands of similar size that lie side by side.

    Parameters
    ----------
    pairs : (..., P) float64
        Features of the pairs.

    Returns
    -------
    (...) float64
        In [0, 1]; near 0 where both candidates are the same hand, or where sizes differ.
    """
    named = dict(zip(PAIR_FEATURES, np.moveaxis(pairs, -1, 0).astype(np.float64), strict=True))
    value = 1 - np.exp(-((named["palms_apart"] / _PALMS_APART) ** 2))
    value = value * (1 - np.exp(-((named["outlines_apart"] / _OUTLINES_APART) ** 2)))
    value = value * np.exp(-((np.maximum(named["size_ratio"] - _SIZE_RATIO, 0) / 0.5) ** 2))
    return np.asarray(value * (1 - named["inside"].clip(0, 1)))
