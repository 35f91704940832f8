"""The hands of a whole clip: steady sides, hands that vanish, cuts, holes; with scores that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hand_pictures import seen_hand

from im2hands.keypoints.choosing.assignment import Assignment, answers
from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.choosing.path import Step, best_path
from im2hands.keypoints.choosing.prior import EVEN, OF_HANDS, Prior

BOTH = Assignment(0, 1)


def step(
    hands: Sequence[tuple[float, float]], pair: dict[tuple[int, int], float] | None = None,
    single: dict[tuple[int, int], float] | None = None, prior: Prior = EVEN, cut: bool = False, gap: float = 1.0,
) -> Step:  # fmt: skip
    """A frame with hypotheses at these places; scores that are not given are very low."""
    count = len(hands)
    scores = Verdict(np.full((count, 2), -15.0), np.full((count, count), -15.0))
    for (row, side), value in (single or {}).items():
        scores.single[row, side] = value
    for rows, value in (pair or {}).items():
        scores.pair[rows] = value
    np.fill_diagonal(scores.pair, -np.inf)
    pixels = np.array([seen_hand("left", place, 40).pixels for place in hands]).reshape(-1, 21, 2)
    return Step(answers(scores, prior), pixels, cut, gap)


def two(index: int = 0, score: float = 12.0, swapped: float = -15.0, **more: object) -> Step:
    """The left hand at 400, the right hand at 200, both moving slowly; ``swapped``: the score of the wrong sides."""
    places = [(400.0 + 2 * index, 200.0), (200.0 - index, 210.0)]
    return step(places, {(0, 1): score, (1, 0): swapped}, {(0, 0): 4.0, (1, 1): 4.0}, **more)  # type: ignore[arg-type]


def test_no_frames_no_hands_and_one_frame_its_own_best_answer() -> None:
    assert best_path([]) == []
    assert best_path([two()]) == [BOTH]
    assert best_path([step([])]) == [Assignment(None, None)]


@pytest.mark.parametrize("wrong", [{4}, {4, 5}, {0}, {11}, {3, 8}])
def test_sides_that_are_exchanged_in_some_frames_are_put_right(wrong: set[int]) -> None:
    steps = [two(k, 2.0, 12.0) if k in wrong else two(k) for k in range(12)]
    assert {steps[k].answers.best() for k in wrong} == {Assignment(1, 0)}
    assert best_path(steps) == [BOTH] * 12


def test_evidence_of_many_frames_turns_the_first_ones() -> None:
    steps = [two(k, 2.0, 8.0) for k in range(2)] + [two(k) for k in range(2, 12)]
    assert best_path(steps) == [BOTH] * 12


def test_a_hand_that_vanishes_for_a_while_is_missing_there() -> None:
    def alone(k: int) -> Step:
        return step([(400.0 + 2 * k, 200.0)], single={(0, 0): 12.0})

    hidden = {5, 6, 7, 8}
    path = best_path([alone(k) if k in hidden else two(k, 24.0) for k in range(14)])
    assert path == [Assignment(0, None) if k in hidden else BOTH for k in range(14)]


def test_a_second_hand_that_flashes_up_far_from_everything_is_not_believed() -> None:
    def flash(k: int, score: float) -> Step:
        return step([(400.0, 200.0), (90.0, 500.0)], {(0, 1): score}, {(0, 0): 12.0})

    def calm(k: int) -> Step:
        return step([(400.0, 200.0)], single={(0, 0): 12.0})

    path = best_path([flash(k, 16.0) if k == 5 else calm(k) for k in range(11)])
    assert path == [Assignment(0, None)] * 11
    path = best_path([flash(k, 16.0) if 3 <= k < 9 else calm(k) for k in range(11)])  # that long, it is a hand
    assert [hands.right for hands in path] == [1 if 3 <= k < 9 else None for k in range(11)]


def test_the_same_place_is_kept_where_two_hypotheses_are_nearly_alike() -> None:
    """A reading beside the hand is a little more probable in one frame; the hand does not leap to it."""

    def three(k: int, near: float, far: float) -> Step:
        places = [(400.0, 200.0), (200.0, 200.0), (520.0, 320.0)]
        return step(places, {(0, 1): near, (2, 1): far})

    steps = [three(k, 12.0, 14.0 if k == 3 else -15.0) for k in range(7)]
    assert steps[3].answers.best() == Assignment(2, 1)
    assert best_path(steps) == [BOTH] * 7


def test_identity_survives_a_crossing() -> None:
    """The hands pass each other; in the middle the judge cannot tell the sides."""
    steps = []
    for k in range(15):
        places = [(400.0 - 14 * k, 200.0), (204.0 + 14 * k, 240.0)]
        sure = abs(k - 7) > 2
        steps.append(step(places, {(0, 1): 12.0 if sure else 5.0, (1, 0): -15.0 if sure else 6.0}))
    assert best_path(steps) == [BOTH] * 15


def test_at_a_cut_identity_starts_anew() -> None:
    def turned(k: int, cut: bool = False) -> Step:
        return two(k, 5.0, 7.0, cut=cut)

    before = [two(k) for k in range(6)]
    with_cut = best_path([*before, turned(6, cut=True), *(turned(k) for k in range(7, 10))])
    assert with_cut == [BOTH] * 6 + [Assignment(1, 0)] * 4
    assert best_path([*before, *(turned(k) for k in range(6, 10))]) == [BOTH] * 10


def test_hands_may_move_further_over_a_hole() -> None:
    def at(x: float, gap: float = 1.0, more: float = 6.5) -> Step:
        """One left hand at x, and a poorer reading of it at 400."""
        return step([(x, 200.0), (400.0, 200.0)], single={(0, 0): more, (1, 0): 6.0}, gap=gap)

    there = [at(460.0)] * 4
    still = [step([(400.0, 200.0)], single={(0, 0): 9.0})] * 4
    assert best_path([*still, at(460.0), *there])[4].left == 1
    assert best_path([*still, at(460.0, gap=100.0), *there])[4].left == 0


@pytest.mark.parametrize(("hands", "expected"), [("left", (0, None)), ("right", (None, 1)), ("both", (0, 1))])
def test_what_a_person_said_holds_in_every_frame(hands: str, expected: tuple[int | None, int | None]) -> None:
    steps = [two(k, 12.0 if k % 3 else -14.0, prior=OF_HANDS[hands]) for k in range(9)]
    assert [path.rows() for path in best_path(steps)] == [expected] * 9


def test_frames_without_any_hypothesis_do_not_break_the_path() -> None:
    path = best_path([two(0, 40.0), step([]), step([]), two(3, 40.0), step([])])
    assert path == [BOTH, Assignment(None, None), Assignment(None, None), BOTH, Assignment(None, None)]


def test_the_path_backwards_is_the_path_forwards() -> None:
    rng = np.random.default_rng(0)
    steps = [two(k, rng.normal(6, 4), rng.normal(3, 4)) for k in range(15)]
    assert best_path(steps[::-1]) == best_path(steps)[::-1]
