"""The hand that a chosen hypothesis stands for: where hypotheses disagree, their mean instead of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from im2hands.core.hands import WRIST
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.keypoints.hypothesis import Hypothesis

from .assignment import Answers, Assignment

# Width of the weight of hypotheses around a chosen one by their distance from it (mean over the keypoints, palm
# lengths), and the distance of the mean from the chosen one (likewise) up to which they agree.
_AROUND, _AGREE = 0.6, 0.08


def expected_hands(
    hypotheses: Sequence[Hypothesis], answers: Answers, chosen: Assignment, apart: np.ndarray
) -> list[Hypothesis | None]:
    """Return the chosen hands of a picture, each at its expected place.

    Parameters
    ----------
    hypotheses : Sequence[Hypothesis]
        The N hypotheses of the picture.
    answers : Answers
        Their probabilities.
    chosen : Assignment
        The chosen ones.
    apart : (N, N) float64
        Distances between them, from ``hand_geometry.keypoint_distances``.

    Returns
    -------
    list[Hypothesis | None]
        The left and the right hand; None for one that was not chosen. The chosen hypothesis itself, if those around it
        agree with it. Else one with their mean keypoints and shape; its spread holds how far they differ.
    """
    near = np.exp(-((apart / _AROUND) ** 2))
    made: list[Hypothesis | None] = []
    for side, (row, other) in enumerate(zip(chosen.rows(), reversed(chosen.rows()), strict=True)):
        if row is None:
            made.append(None)
            continue
        if other is None:
            likely = _relative(answers.single[:, side])
        else:
            likely = _relative(answers.pair if side == 0 else answers.pair.T) @ near[other]
            likely[other] = 0.0
        weights = likely * near[row]
        made.append(_mean(hypotheses, weights / weights.sum(), row) if weights.sum() > 0 else hypotheses[row])
    return made


def _mean(hypotheses: Sequence[Hypothesis], weights: np.ndarray, row: int) -> Hypothesis:
    """Return the weighted mean of hypotheses, or the chosen one ``row`` if the mean lies at its place."""
    chosen = hypotheses[row]
    every = np.array([hand.pixels for hand in hypotheses])
    pixels, palm = np.tensordot(weights, every, 1), palm_length(chosen.pixels)
    if np.linalg.norm(pixels - chosen.pixels, axis=1).mean() < _AGREE * palm:
        return chosen
    shapes = np.array([hand.shape - hand.shape[WRIST] for hand in hypotheses])
    spreads = np.array([hand.spread for hand in hypotheses])
    differ = np.sqrt(weights @ ((every - pixels) ** 2).sum(axis=-1)) / palm
    return replace(
        chosen, pixels=pixels, shape=np.tensordot(weights, shapes, 1), spread=np.hypot(weights @ spreads, differ),
        photo=None,
    )  # fmt: skip


def _relative(scores: np.ndarray) -> np.ndarray:
    """Return probabilities relative to the highest one; zeros if nothing is possible."""
    top = float(scores.max())
    return np.exp(scores - top) if np.isfinite(top) else np.zeros(scores.shape)
