"""Which two of the hands that may be in a picture are one person's: a network over what is known of each two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES

from .sides import log_odds

if TYPE_CHECKING:
    from im2hands.networks.pair_judge import PairJudgeNetwork

# Two hands are as plausible as this share of what they are one by one, if they lie apart (palm lengths, log2 of sizes).
_PLAUSIBLE = 0.8
_PALMS_APART, _OUTLINES_APART, _SIZE_RATIO = 0.35, 0.22, 0.7
# MediaPipe's hands that are read as steadily as this are hands, whatever else is said of them; what was read along a
# palm need not be one: in photographs coats are read steadily.
_STEADY_PRESENCE, _STEADY_AGREEMENT, _STEADY = 0.95, 0.9, 0.95
# What no crop shows is a hand only as a hidden one: so near another hand's palm (palm lengths). In photographs the
# two-hand network sees hands in pipes and in folds.
_OWN_REACH = 2.0


@dataclass(frozen=True)
class Verdict:
    """What the judge says of N candidates.

    Args:
        single: (N, 2) probability that a candidate is the left and the right hand, read rightly. pair: (N, N)
            probability that the first is the left hand and the second the right hand of one person, both read rightly;
            the diagonal is 0. well: (N, N) the same of both being read well. two: (N, N) probability that they are one
            person's two hands, whichever is the left one.
    """

    single: np.ndarray
    pair: np.ndarray
    well: np.ndarray
    two: np.ndarray

    def best(self, needed: Sequence[int] = ()) -> tuple[int, int] | None:
        """The best two hands, those that are read well before others; None with fewer than two candidates.

        Args:
            needed: at most two candidates that must be among them.

        Returns:
            The likelier left hand, the other one.
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

    Args:
        network: the judge's, ready to be run.
    """

    def __init__(self, network: PairJudgeNetwork) -> None:
        self._network = network

    def __call__(self, single: np.ndarray, pairs: np.ndarray) -> Verdict:
        """Judge; the arguments are those that :func:`.pair_features.features` gives.

        Args:
            single: (N, 2, len(SINGLE_FEATURES)). pairs: (N, N, len(PAIR_FEATURES)).
        """
        import torch

        if not len(single):
            none = np.zeros((0, 0))
            return Verdict(np.zeros((0, 2)), none, none, none)
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            made = self._network(*(torch.from_numpy(given)[None].float().to(device) for given in (single, pairs)))
        alone, together = (torch.sigmoid(value[0].double()).cpu().numpy() for value in made)
        np.fill_diagonal(together[..., 0], 0.0)
        np.fill_diagonal(together[..., 1], 0.0)
        pair, well = together[..., 0], together[..., 1]
        # Hands that each are surely there, apart and of one size, are two hands, whatever else is strange about them.
        found = is_steady(single[:, 1]) & (single[:, 1, SINGLE_FEATURES.index("from_task")] > 0)
        sure = np.maximum(alone[..., 0].sum(axis=1), _STEADY * found).clip(max=1.0)
        plausible = _PLAUSIBLE * np.outer(sure, sure) * apart(pairs)
        np.fill_diagonal(plausible, 0.0)
        two = np.where(_within_reach(single[:, 1], pairs), np.maximum(np.minimum(pair + pair.T, 1.0), plausible), 0.0)
        return Verdict(alone[..., 0], pair, well, two)


def _within_reach(single: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(N, N) bool: False where one of two is told by the two-hand network alone and lies far from the other."""
    own = single[:, SINGLE_FEATURES.index("from_palm")] > 0
    near = pairs[..., PAIR_FEATURES.index("palms_apart")] <= _OWN_REACH
    return np.asarray(near | ~(own[:, None] | own[None]))


def is_steady(single: np.ndarray) -> np.ndarray:
    """Whether readings are seen surely and in the same place, from their features (..., S)."""
    named = dict(zip(SINGLE_FEATURES, np.moveaxis(single, -1, 0), strict=True))
    steady = (named["presence"] >= float(log_odds(_STEADY_PRESENCE)) / 4) & (named["agreement"] >= _STEADY_AGREEMENT)
    return np.asarray(steady & (named["from_palm"] == 0))


def apart(pairs: np.ndarray) -> np.ndarray:
    """How far two lie beside each other as two hands of one size do, from their features (..., P): [0, 1]."""
    named = dict(zip(PAIR_FEATURES, np.moveaxis(pairs, -1, 0).astype(np.float64), strict=True))
    value = 1 - np.exp(-((named["palms_apart"] / _PALMS_APART) ** 2))
    value = value * (1 - np.exp(-((named["outlines_apart"] / _OUTLINES_APART) ** 2)))
    value = value * np.exp(-((np.maximum(named["size_ratio"] - _SIZE_RATIO, 0) / 0.5) ** 2))
    return np.asarray(value * (1 - named["inside"].clip(0, 1)))
