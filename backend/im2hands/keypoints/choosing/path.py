"""The most probable hands of a whole clip: the best path through the answers of all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from im2hands.keypoints.hand_geometry import palm_length

from .assignment import Answers, Assignment

# Answers of a frame that a path may take: the most probable ones.
_MOST_ANSWERS = 24
# Neighbouring frames show nearly the same picture, so their scores count for less than independent ones.
_WEIGHT = 0.5
# Standard deviation of a hand's movement from frame to frame (mean over the keypoints, palm lengths), the largest
# penalty of a movement, and the penalty of a hand that comes or goes; logarithms of probabilities.
_MOVEMENT, _LEAP, _COMES_OR_GOES = 0.35, 12.0, 4.0


@dataclass(frozen=True)
class Step:
    """One frame of a clip.

    Parameters
    ----------
    answers : Answers
        The answers for its picture.
    pixels : (N, 21, 2) float64
        Keypoints of its hypotheses, pixels.
    cut : bool
        Whether another shot begins here, so that nothing follows from the frame before.
    gap : float
        Frames since the one before; 1 for the next frame.
    """

    answers: Answers
    pixels: np.ndarray
    cut: bool = False
    gap: float = 1.0


def best_path(steps: Sequence[Step]) -> list[Assignment]:
    """Choose the hands of all frames together.

    Parameters
    ----------
    steps : Sequence[Step]
        The frames, in order.

    Returns
    -------
    list[Assignment]
        The hands of each frame.
    """
    if not steps:
        return []
    states = [_likely(step.answers) for step in steps]
    total = _WEIGHT * states[0][1]
    back: list[np.ndarray] = []
    for k in range(1, len(steps)):
        through = total[:, None] - _penalties(steps[k - 1], steps[k], states[k - 1][0], states[k][0])
        back.append(np.argmax(through, axis=0))
        total = through.max(axis=0) + _WEIGHT * states[k][1]
    row = int(np.argmax(total))
    chosen = [states[-1][0][row]]
    for k in range(len(steps) - 1, 0, -1):
        row = int(back[k - 1][row])
        chosen.append(states[k - 1][0][row])
    return [Assignment(*(None if n < 0 else int(n) for n in rows)) for rows in reversed(chosen)]


def _likely(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable answers: hypotheses (M, 2) of left and right hand, -1 for none, and scores (M,)."""
    count = len(answers.single)
    every = np.arange(count)
    none = np.full(count, -1)
    left, right = np.meshgrid(every, every, indexing="ij")
    rows = np.concatenate(
        [
            [(-1, -1)],
            np.column_stack([every, none]),
            np.column_stack([none, every]),
            np.column_stack([left.ravel(), right.ravel()]),
        ]
    )
    scores = np.concatenate(
        [[answers.none], answers.single[:, 0], answers.single[:, 1], answers.pair.ravel()]
    )  # fmt: skip
    possible = np.isfinite(scores)
    rows, scores = rows[possible], scores[possible]
    order = np.argsort(-scores, kind="stable")[:_MOST_ANSWERS]
    return rows[order], scores[order]


def _penalties(before: Step, after: Step, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the penalty (M, K) of going from each answer (M, 2) of a frame to each answer (K, 2) of the next."""
    if after.cut:
        return np.zeros((len(rows), len(others)))
    count, more = len(before.pixels), len(after.pixels)
    moved = np.full((count + 1, more + 1), _COMES_OR_GOES)
    moved[-1, -1] = 0.0
    if count and more:
        palms = np.maximum(palm_length(before.pixels)[:, None], palm_length(after.pixels)[None])
        gaps = np.linalg.norm(before.pixels[:, None] - after.pixels[None], axis=-1).mean(axis=-1) / palms
        moved[:-1, :-1] = np.minimum(0.5 * (gaps / (_MOVEMENT * np.sqrt(after.gap))) ** 2, _LEAP)
    return moved[rows[:, None, 0], others[None, :, 0]] + moved[rows[:, None, 1], others[None, :, 1]]
