"""The most probable hands of one picture: the judge's scores and the prior together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .judge import Verdict
from .prior import EVEN, Prior

# A hand that is this far from the true one (mean over the keypoints, palm lengths) is worth 1 / e of it. By the same
# worth the judge learns (``lab.training.pair_judge``).
_WORTH = 0.25


@dataclass(frozen=True)
class Assignment:
    """Which hypotheses are the hands of one picture.

    Parameters
    ----------
    left : int or None
        Number of the hypothesis that is the left hand. None without one.
    right : int or None
        Number of the hypothesis that is the right hand. None without one.
    """

    left: int | None
    right: int | None

    def rows(self) -> tuple[int | None, int | None]:
        """Return the hypotheses of the left and of the right hand."""
        return self.left, self.right


@dataclass(frozen=True)
class Answers:
    """All answers for one picture with N hypotheses: logarithms of their probabilities, up to a common constant.

    Parameters
    ----------
    none : float
        No hand.
    single : (N, 2) float64
        One hypothesis alone, as the left and as the right hand.
    pair : (N, N) float64
        The first hypothesis as the left hand and the second as the right hand.
    """

    none: float
    single: np.ndarray
    pair: np.ndarray

    def counted(self) -> np.ndarray:
        """Return the probabilities (4,) of "no hand", "left alone", "right alone" and "both"."""
        parts = [np.array([self.none]), self.single[:, 0], self.single[:, 1], self.pair.ravel()]
        totals = np.array([log_sum(part) for part in parts])
        return np.exp(totals - log_sum(totals))

    def best(self, apart: np.ndarray | None = None) -> Assignment:
        """Return the best answer.

        First the most probable number and side of hands is chosen, with the probabilities of all hypotheses added up,
        because one hand may appear as several of them. Then the hypotheses of the highest expected worth are taken: one
        in the midst of probable ones rather than a slightly more probable one by itself.

        Parameters
        ----------
        apart : (N, N) float64 or None
            Distances between the hypotheses, from ``hand_geometry.keypoint_distances``. None takes every hypothesis for
            a hand of its own.

        Returns
        -------
        Assignment
            The hands.
        """
        which = int(np.argmax(self.counted()))
        if which == 0:
            return Assignment(None, None)
        alike = np.eye(len(self.single)) if apart is None else np.exp(-((apart / _WORTH) ** 2))
        if which < 3:
            row = int(np.argmax(_expected(self.single[:, which - 1], alike)))
            return Assignment(row, None) if which == 1 else Assignment(None, row)
        left, right = np.unravel_index(int(np.argmax(_expected(self.pair, alike, alike))), self.pair.shape)
        return Assignment(int(left), int(right))

    def probability(self, side: int, rows: np.ndarray) -> float:
        """Return the probability that one of some hypotheses is the hand of a side.

        Parameters
        ----------
        side : int
            0 for the left hand, 1 for the right hand.
        rows : (N,) bool
            The hypotheses.

        Returns
        -------
        float
            The probability, in [0, 1].
        """
        pairs = self.pair if side == 0 else self.pair.T
        here = log_sum(np.concatenate([self.single[rows, side], pairs[rows].ravel()]))
        every = log_sum(np.concatenate([[self.none], self.single.ravel(), self.pair.ravel()]))
        return float(np.exp(here - every)) if np.isfinite(here) else 0.0


def answers(verdict: Verdict, prior: Prior, marked: tuple[int | None, int | None] = (None, None)) -> Answers:
    """Add the prior to the judge's scores.

    Parameters
    ----------
    verdict : Verdict
        The judge's scores.
    prior : Prior
        What is known before the picture is looked at.
    marked : tuple[int | None, int | None]
        Hypotheses that a person marked as the left and as the right hand. Answers without them are impossible.

    Returns
    -------
    Answers
        All answers. If none is possible (as with "both" where at most one hand may be), those of the even prior.
    """
    none = prior.none
    single = verdict.single + np.array([prior.left, prior.right])
    pair = verdict.pair + prior.both
    for side, row in enumerate(marked):
        if row is None:
            continue
        others = np.arange(len(single)) != row
        none = -np.inf
        single[:, 1 - side] = -np.inf
        single[others, side] = -np.inf
        np.moveaxis(pair, side, 0)[others] = -np.inf
    if not (np.isfinite(none) or np.isfinite(single).any() or np.isfinite(pair).any()):
        return answers(verdict, EVEN, marked) if len(single) and prior != EVEN else Answers(0.0, single, pair)
    return Answers(none, single, pair)


def _expected(scores: np.ndarray, *alike: np.ndarray) -> np.ndarray:
    """Return the expected worth of answers, up to a factor; -1 for impossible ones.

    ``scores`` has an axis for each hand, and ``alike`` for each of them what one hypothesis is worth if another one is
    true.
    """
    made = np.exp(scores - scores.max())
    for axis, worth in enumerate(alike):
        made = np.moveaxis(np.tensordot(worth, made, (1, axis)), 0, axis)
    return np.where(np.isfinite(scores), made, -1.0)


def log_sum(values: np.ndarray) -> float:
    """Return the logarithm of the sum of exponentials.

    Parameters
    ----------
    values : (...) float64
        Logarithms.

    Returns
    -------
    float
        The logarithm of the sum; minus infinity for no values.
    """
    top = float(np.max(values, initial=-np.inf))
    return top + float(np.log(np.exp(values - top).sum())) if np.isfinite(top) else -np.inf
