"""The judge: how probable it is that hypotheses are one person's left and right hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from im2hands.networks.pair_judge import PairJudgeNetwork


@dataclass(frozen=True)
class Verdict:
    """The judge's scores for N hypotheses: logarithms of probabilities relative to "no hand", before any prior.

    Parameters
    ----------
    single : (N, 2) float64
        Score of "this is the only hand", as the left and as the right one.
    pair : (N, N) float64
        Score of "the first is the left hand and the second the right hand". Minus infinity on the diagonal.
    """

    single: np.ndarray
    pair: np.ndarray


class PairJudge:
    """Judges hypotheses by their features.

    Parameters
    ----------
    network : PairJudgeNetwork
        The judge's network, on its device, in evaluation mode.
    """

    def __init__(self, network: PairJudgeNetwork) -> None:
        self._network = network

    def __call__(self, single: np.ndarray, pairs: np.ndarray) -> Verdict:
        """Judge hypotheses.

        Parameters
        ----------
        single : (N, 2, len(SINGLE_FEATURES)) float64
            Features of each hypothesis, from ``choosing.features.features``.
        pairs : (N, N, len(PAIR_FEATURES)) float64
            Features of each pair, from ``choosing.features.features``.

        Returns
        -------
        Verdict
            The scores.
        """
        import torch

        if not len(single):
            return Verdict(np.zeros((0, 2)), np.zeros((0, 0)))
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            made = self._network(*(torch.from_numpy(given)[None].float().to(device) for given in (single, pairs)))
        alone, together = (value[0].cpu().double().numpy() for value in made)
        np.fill_diagonal(together, -np.inf)
        return Verdict(alone, together)
