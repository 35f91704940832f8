"""Which two of the hands that may be in a picture are one person's: a small network over what is known of each two."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .pair_features import PAIR_FEATURES, SINGLE_FEATURES

WIDTH = 16
PAIR_INPUTS = 2 * len(SINGLE_FEATURES) + len(PAIR_FEATURES)
LAYERS = {
    "single": (len(SINGLE_FEATURES), WIDTH, 1),
    "pair": (PAIR_INPUTS, WIDTH, 1),
}
"""Widths of the two networks, input and output included; ReLU between layers."""

# Two hands are as plausible as this share of what they are one by one, if they lie apart (palm lengths, log2 of sizes).
_PLAUSIBLE = 0.8
_PALMS_APART, _OUTLINES_APART, _SIZE_RATIO = 0.35, 0.22, 0.7


@dataclass(frozen=True)
class Verdict:
    """What the judge says of N candidates.

    Args:
        single: (N,) probability that a candidate is a hand read rightly. pair: (N, N) probability that two candidates
            are two different hands of one person, both read rightly; the diagonal is 0.
    """

    single: np.ndarray
    pair: np.ndarray

    def best(self) -> tuple[int, int] | None:
        """The most probable two; None where there are fewer."""
        if len(self.single) < 2:
            return None
        i, j = np.unravel_index(int(np.argmax(self.pair)), self.pair.shape)
        return (int(i), int(j)) if i < j else (int(j), int(i))


class PairJudge:
    """Judges candidates by their features.

    Args:
        weights: per network and layer ``single.0.weight`` (outputs, inputs), ``single.0.bias`` and so on.

    Raises:
        ValueError: a weight is missing or has another shape.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._layers: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for name, widths in LAYERS.items():
            made = []
            for k, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
                weight, bias = weights.get(f"{name}.{k}.weight"), weights.get(f"{name}.{k}.bias")
                if weight is None or bias is None or weight.shape != (outputs, inputs) or bias.shape != (outputs,):
                    raise ValueError(f"{name}.{k} does not fit")
                made.append((np.asarray(weight, np.float64), np.asarray(bias, np.float64)))
            self._layers[name] = made

    def __call__(self, single: np.ndarray, pairs: np.ndarray) -> Verdict:
        """Judge.

        Args:
            single: (N, len(SINGLE_FEATURES)). pairs: (N, N, len(PAIR_FEATURES)).
        """
        count = len(single)
        if not count:
            return Verdict(np.zeros(0), np.zeros((0, 0)))
        alone = _sigmoid(self._run("single", single)[..., 0])
        one_way = self._run("pair", pair_inputs(single, pairs))[..., 0]
        together = _sigmoid(one_way + one_way.T)
        # Hands that each are surely there, apart and of one size, are two hands, whatever else is strange about them.
        together = np.maximum(together, _PLAUSIBLE * np.outer(alone, alone) * apart(pairs))
        np.fill_diagonal(together, 0.0)
        return Verdict(alone, together)

    def _run(self, name: str, x: np.ndarray) -> np.ndarray:
        layers = self._layers[name]
        for weight, bias in layers[:-1]:
            x = np.maximum(x @ weight.T + bias, 0.0)
        weight, bias = layers[-1]
        return x @ weight.T + bias


def apart(pairs: np.ndarray) -> np.ndarray:
    """How far two lie beside each other as two hands of one size do, from their features (..., P): [0, 1]."""
    named = dict(zip(PAIR_FEATURES, np.moveaxis(pairs, -1, 0), strict=True))
    value = 1 - np.exp(-((named["palms_apart"] / _PALMS_APART) ** 2))
    value = value * (1 - np.exp(-((named["outlines_apart"] / _OUTLINES_APART) ** 2)))
    value = value * np.exp(-((np.maximum(named["size_ratio"] - _SIZE_RATIO, 0) / 0.5) ** 2))
    return np.asarray(value * (1 - named["inside"].clip(0, 1)))


def pair_inputs(single: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(N, N, PAIR_INPUTS): of each two the first one's features, the second one's, and those of both."""
    count = len(single)
    first = np.broadcast_to(single[:, None], (count, count, single.shape[1]))
    second = np.broadcast_to(single[None], (count, count, single.shape[1]))
    return np.concatenate([first, second, pairs], axis=-1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))
