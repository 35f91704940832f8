"""Which two of the hands that may be in a picture are one person's: a network over what is seen of each two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from .pair_candidates import Candidate
from .pair_features import PAIR_FEATURES
from .pair_views import CandidateViews, candidate_views
from .palm_reader import PalmsSeen

if TYPE_CHECKING:
    from ..networks.pair_judge import PairJudgeNetwork
    from ..networks.palm_network import PalmNetwork

# Two hands are as plausible as this share of what they are one by one, if they lie apart (palm lengths, log2 of sizes).
_PLAUSIBLE = 0.8
_PALMS_APART, _OUTLINES_APART, _SIZE_RATIO = 0.35, 0.22, 0.7


@dataclass(frozen=True)
class Verdict:
    """What the judge says of N candidates.

    Args:
        single: (N, 2) probability that a candidate is the left and the right hand, read rightly. pair: (N, N)
            probability that the first is the left hand and the second the right hand of one person, both read rightly;
            the diagonal is 0. well: (N, N) the same of both being read well.
    """

    single: np.ndarray
    pair: np.ndarray
    well: np.ndarray

    def best(self) -> tuple[int, int] | None:
        """The best left and right hand, those that are read well before others; None with fewer than two candidates."""
        if len(self.single) < 2:
            return None
        i, j = np.unravel_index(int(np.argmax(self.pair + self.well)), self.pair.shape)
        return int(i), int(j)


class PairJudge:
    """Judges candidates by what the two-hand network sees of them; not thread-safe.

    Args:
        network: the judge's. palms: the two-hand network. Both on one device, ready to be run.
    """

    def __init__(self, network: PairJudgeNetwork, palms: PalmNetwork) -> None:
        self._network, self._palms = network, palms

    def __call__(self, image: np.ndarray, candidates: Sequence[Candidate], seen: PalmsSeen) -> Verdict:
        """Judge.

        Args:
            image: (H, W, 3) uint8 RGB. candidates: hands that may be there. seen: what the two-hand network says of it.
        """
        return judged(self._network, candidate_views(self._palms, image, candidates, seen))


def judged(network: PairJudgeNetwork, views: CandidateViews) -> Verdict:
    """The judge's verdict on candidates of one picture."""
    import torch

    from ..networks.pair_judge import CandidateInput

    count = len(views)
    if not count:
        return Verdict(np.zeros((0, 2)), np.zeros((0, 0)), np.zeros((0, 0)))
    device = next(network.parameters()).device
    with torch.inference_mode():
        given = [torch.from_numpy(getattr(views, f.name))[None].float().to(device) for f in fields(CandidateViews)]
        made = network(CandidateInput(*given))
    single, pair = (torch.sigmoid(value[0].double()).cpu().numpy() for value in made)
    # Hands that each are surely there, apart and of one size, are two hands, whatever else is strange about them.
    plausible = _PLAUSIBLE * np.outer(single[:, 0, 0], single[:, 1, 0]) * apart(views.pairs)
    together, well = np.maximum(pair[..., 0], plausible), pair[..., 1]
    np.fill_diagonal(together, 0.0)
    np.fill_diagonal(well, 0.0)
    return Verdict(single[..., 0], together, well)


def apart(pairs: np.ndarray) -> np.ndarray:
    """How far two lie beside each other as two hands of one size do, from their features (..., P): [0, 1]."""
    named = dict(zip(PAIR_FEATURES, np.moveaxis(pairs, -1, 0).astype(np.float64), strict=True))
    value = 1 - np.exp(-((named["palms_apart"] / _PALMS_APART) ** 2))
    value = value * (1 - np.exp(-((named["outlines_apart"] / _OUTLINES_APART) ** 2)))
    value = value * np.exp(-((np.maximum(named["size_ratio"] - _SIZE_RATIO, 0) / 0.5) ** 2))
    return np.asarray(value * (1 - named["inside"].clip(0, 1)))
