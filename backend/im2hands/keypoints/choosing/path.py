"""The most probable hands of a whole clip: the best path through the answers of all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from im2hands.keypoints.hand_geometry import palm_length

from .assignment import Answers, Assignment

# Answers of a frame that a path may take: the most probable ones, each also with its sides exchanged.
_MOST_ANSWERS = 24
# Neighbouring frames show nearly the same picture, so their scores count for less than independent ones.
_WEIGHT = 0.5
# Standard deviation of a hand's movement from frame to frame (mean over the keypoints, palm lengths), the largest
# penalty of a movement, and the penalty of a hand that comes or goes; logarithms of probabilities.
_MOVEMENT, _LEAP, _COMES_OR_GOES = 0.35, 12.0, 4.0
# A hand that is within this distance of a place (mean over the keypoints, palm lengths) is at it; and it has come from
# there if that is at most this share of its distance from its own place.
_PLACE, _NEARER = 0.5, 0.5


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


@dataclass(frozen=True)
class _Paths:
    """The best paths to each of M answers of a frame.

    Parameters
    ----------
    rows : (M, 2) int64
        The answers: hypotheses of left and right hand, -1 for none.
    score : (M,) float64
        Scores of the paths, the frame included.
    places : (M, 2, 21, 2) float64
        Where each path saw each hand last in this shot, pixels; NaN where it did not.
    away : (M, 2) float64
        Frames since then, 0 for a hand of this frame.
    """

    rows: np.ndarray
    score: np.ndarray
    places: np.ndarray
    away: np.ndarray

    def take(self, rows: np.ndarray) -> _Paths:
        return _Paths(self.rows[rows], self.score[rows], self.places[rows], self.away[rows])


def best_path(steps: Sequence[Step]) -> list[Assignment]:
    """Choose the hands of all frames together.

    A path pays for every hand that comes, goes, or moves further than hands do, and for every place that changes its
    side: where a hand was, the other hand is not expected, also if nothing was seen there for a while.

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
    kept: list[np.ndarray] = []
    back: list[np.ndarray] = []
    paths: _Paths | None = None
    for step in steps:
        rows, scores = _likely(step.answers)
        if paths is None:
            nowhere = np.full((len(rows), 2, 21, 2), np.nan)
            paths = _Paths(rows, _WEIGHT * scores, nowhere, np.full((len(rows), 2), np.inf))
        else:
            gaps = _distances(paths, step)
            through = paths.score[:, None] - _penalties(paths, step, rows, gaps)
            best = np.argmax(through, axis=0)
            back.append(best)
            before, score = paths.take(best), through.max(axis=0) + _WEIGHT * scores
            paths = _Paths(rows, score, before.places, before.away + step.gap)
            for side in (0, 1):  # a place that the other hand has taken is forgotten
                paths.away[step.cut | (gaps[best, side, rows[:, 1 - side]] < _PLACE), side] = np.inf
        here = rows >= 0
        paths.places[here] = step.pixels[rows[here]]
        paths.away[here] = 0.0
        kept.append(rows)
    assert paths is not None
    row = int(np.argmax(paths.score))
    chosen = [kept[-1][row]]
    for rows, best in zip(reversed(kept[:-1]), reversed(back), strict=True):
        row = int(best[row])
        chosen.append(rows[row])
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
    order = np.argsort(-scores, kind="stable")
    best = order[:_MOST_ANSWERS]
    likely = np.zeros(len(rows), bool)
    likely[best] = True
    likely[0] = True
    likely |= (rows[:, None] == rows[best, ::-1]).all(axis=-1).any(axis=-1)  # the same places, sides exchanged
    order = order[(likely & np.isfinite(scores))[order]]
    return rows[order], scores[order]


def _penalties(before: _Paths, after: Step, rows: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return the penalty (M, K) of going on along each of M paths with each answer (K, 2)."""
    if after.cut:
        return np.zeros((len(before.rows), len(rows)))
    was, is_there = before.away == 0, rows >= 0
    # From where a path saw the hand of one side last to the hand that an answer gives another one, in palm lengths.
    gone = {(one, other): gaps[:, one][:, rows[:, other]] for one in (0, 1) for other in (0, 1)}
    total = np.zeros((len(before.rows), len(rows)))
    for side in (0, 1):
        both = was[:, None, side] & is_there[None, :, side]
        moved = np.minimum(0.5 * (gone[side, side] / (_MOVEMENT * np.sqrt(after.gap))) ** 2, _LEAP)
        changes = was[:, None, side] != is_there[None, :, side]
        total += np.where(both, moved, np.where(changes, _COMES_OR_GOES, 0.0))
        other = 1 - side
        # The place of this hand has become the other one's, if the other one is clearly nearer to it than to its own,
        # and this hand is not there any more. What is long ago says less.
        reach = np.minimum(_NEARER * np.minimum(gone[side, side], gone[other, other]), _PLACE)
        taken = np.clip(1 - gone[side, other] / np.maximum(reach, 1e-9), 0, 1)
        total += _LEAP * taken / np.sqrt(before.away[:, None, side] + after.gap)
    return total


def _distances(before: _Paths, after: Step) -> np.ndarray:
    """Return the distances (M, 2, N + 1) of hypotheses from the last places of paths; infinite for no place."""
    made = np.full((len(before.rows), 2, len(after.pixels) + 1), np.inf)
    seen = np.isfinite(before.away)
    if len(after.pixels) and seen.any():
        places = before.places[seen]
        palms = np.maximum(palm_length(places)[:, None], palm_length(after.pixels)[None])
        made[seen, :-1] = np.linalg.norm(places[:, None] - after.pixels[None], axis=-1).mean(axis=-1) / palms
    return made
