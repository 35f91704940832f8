"""Identity over a whole clip: sides that many frames read wrongly, crossings, hidden hands, edges; scores made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hand_pictures import seen_hand

from im2hands.core.hands import Side
from im2hands.keypoints.choosing.assignment import Assignment, answers
from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.choosing.path import Step, best_path
from im2hands.keypoints.choosing.prior import EVEN

Place = tuple[Side, float, float]
Scores = dict[tuple[int, int], float]

FRAMES, WRONG = 40, range(15, 25)
"""Frames of a clip, and those in which the judge takes each hand for the other one."""
BOTH, NOTHING = Assignment(0, 1), Assignment(None, None)
PALM, JITTER = 40.0, 0.03
"""Palm length, pixels; scatter of a reading, palm lengths."""


def step(
    number: int, hands: Sequence[Place], pair: Scores | None = None, single: Scores | None = None, cut: bool = False
) -> Step:
    """A frame with readings that scatter a little; scores that are not given are very low."""
    rng, count = np.random.default_rng(number), len(hands)
    verdict = Verdict(np.full((count, 2), -15.0), np.full((count, count), -15.0))
    for key, score in (single or {}).items():
        verdict.single[key] = score
    for key, score in (pair or {}).items():
        verdict.pair[key] = score
    np.fill_diagonal(verdict.pair, -np.inf)
    pixels = [seen_hand(side, (x, y), PALM).pixels + rng.normal(0, JITTER * PALM, (21, 2)) for side, x, y in hands]
    return Step(answers(verdict, EVEN), np.array(pixels).reshape(-1, 21, 2), cut)


def two(number: int, left: Place, right: Place, wrong: float) -> Step:
    """Two hands. ``wrong``: how much more probable the exchanged sides are in frames that are read wrongly."""
    turned = number in WRONG
    pair = {(0, 1): 12 - wrong * turned, (1, 0): 12.0 if turned else -5.0}
    return step(number, [left, right], pair, {(0, 0): 4, (1, 1): 4, (0, 1): -2, (1, 0): -2})


def one(number: int, place: Place, wrong: float) -> Step:
    """One left hand, alike."""
    turned = number in WRONG
    return step(number, [place], None, {(0, 0): 12 - wrong * turned, (0, 1): 12.0 if turned else 4.0})


def crossing(k: int) -> Step:
    return two(k, ("left", 400 - 10 * k, 200), ("right", 10 * k, 215), 7)


def clasped(k: int) -> Step:
    return two(k, ("left", 200 + 6 * np.sin(k / 2), 200), ("right", 215 - 6 * np.sin(k / 2), 215), 7)


def apart(k: int) -> Step:
    return two(k, ("left", 250, 200), ("right", 150, 200), 7)


@pytest.mark.parametrize("shown", [crossing, clasped, apart])
def test_sides_that_are_wrong_for_ten_frames_are_put_right(shown: Callable[[int], Step]) -> None:
    steps = [shown(k) for k in range(FRAMES)]
    assert {steps[k].answers.best() for k in WRONG} == {Assignment(1, 0)}
    assert best_path(steps) == [BOTH] * FRAMES


def test_one_hand_does_not_change_its_side_where_it_is() -> None:
    steps = [one(k, ("left", 200, 200), 6) for k in range(FRAMES)]
    assert {steps[k].answers.best() for k in WRONG} == {Assignment(None, 0)}
    assert best_path(steps) == [Assignment(0, None)] * FRAMES


@pytest.mark.parametrize("hidden", [1, 2, 4])
def test_sides_are_remembered_while_hands_are_hidden(hidden: int) -> None:
    """The hands come back where they were, and are read wrongly for ten frames."""
    gone = range(WRONG.start - hidden, WRONG.start)
    path = best_path([step(k, []) if k in gone else apart(k) for k in range(FRAMES)])
    assert path == [NOTHING if k in gone else BOTH for k in range(FRAMES)]
    path = best_path([step(k, []) if k in gone else one(k, ("left", 200, 200), 4) for k in range(FRAMES)])
    assert path == [NOTHING if k in gone else Assignment(0, None) for k in range(FRAMES)]


def test_the_hand_that_stays_tells_which_one_comes_back() -> None:
    """While the left hand is away the other one could be either; then the sides are read wrongly."""
    away = range(6, WRONG.start)

    def shown(k: int) -> Step:
        return step(k, [("right", 150, 200)], None, {(0, 1): 6, (0, 0): 6}) if k in away else apart(k)

    path = best_path([shown(k) for k in range(FRAMES)])
    assert path == [Assignment(None, 0) if k in away else BOTH for k in range(FRAMES)]


@pytest.mark.parametrize("black", [False, True])
def test_what_was_before_a_cut_or_a_black_stretch_of_another_shot_says_nothing(black: bool) -> None:
    """Another shot with the hands of the other sides at the same places."""
    before = [step(k, [("left", 250, 200), ("right", 150, 200)], {(0, 1): 12, (1, 0): 9}) for k in range(10)]
    between = [step(k, [], cut=k == 10) for k in range(10, 13 if black else 10)]
    first = 10 + len(between)
    after = [
        step(k, [("right", 250, 200), ("left", 150, 200)], {(0, 1): 9, (1, 0): 9.5}, cut=k == first)
        for k in range(first, first + 3)
    ]
    expected = [BOTH] * 10 + [NOTHING] * len(between) + [Assignment(1, 0)] * 3
    assert best_path([*before, *between, *after]) == expected


def test_long_stretches_of_equal_scores_do_not_flicker() -> None:
    """Nothing but one frame tells the sides of two hands that cross."""

    def shown(k: int) -> Step:
        sure = 1.0 if k == 150 else 0.0
        return step(k, [("left", 300 - k, 200), ("right", 100 + k, 200)], {(0, 1): 8 + sure, (1, 0): 8})

    assert best_path([shown(k) for k in range(200)]) == [BOTH] * 200
    even = [step(k, [("left", 300, 200), ("right", 200, 200)], {(0, 1): 8, (1, 0): 8}) for k in range(200)]
    assert len(set(best_path(even))) == 1


@pytest.mark.parametrize("unsure", [0, 5])
def test_a_hand_leaves_at_one_edge_and_the_other_enters_at_the_other_edge(unsure: int) -> None:
    """It may be read as the hand that left in its first frames; it is not that one, which cannot be there at once."""

    def shown(k: int) -> Step:
        if k < 20:
            return step(k, [("left", 20 - k, 200)], None, {(0, 0): 9, (0, 1): 2})
        wrong = k < 20 + unsure
        scores = {(0, 1): 6.0, (0, 0): 8.0} if wrong else {(0, 1): 9.0, (0, 0): 2.0}
        return step(k, [("right", 660 - k, 200)], None, scores)

    path = best_path([shown(k) for k in range(FRAMES)])
    assert path == [Assignment(0, None)] * 20 + [Assignment(None, 0)] * 20


@pytest.mark.parametrize("away", [0, 5])
def test_the_other_hand_may_come_to_the_same_place(away: int) -> None:
    """It costs once, not in every frame in which it stays there."""

    def shown(k: int) -> Step:
        if k < 15:
            return step(k, [("left", 200, 200)], None, {(0, 0): 9, (0, 1): 2})
        return step(k, [("right", 200, 200)], None, {(0, 1): 9, (0, 0): 2}) if k >= 15 + away else step(k, [])

    path = best_path([shown(k) for k in range(FRAMES)])
    expected = [Assignment(0, None)] * 15 + [NOTHING] * away + [Assignment(None, 0)] * (FRAMES - 15 - away)
    assert path == expected


def test_a_hidden_hand_whose_place_the_other_one_visits_comes_back_beside_it() -> None:
    """The left hand is hidden by the right one, which stays at its place, and comes back with no penalty a frame."""

    def shown(k: int) -> Step:
        if 10 <= k < 30:
            return step(k, [("right", 250, 200)], None, {(0, 1): 8, (0, 0): 7})
        return step(k, [("left", 250, 200), ("right", 250 - 10 * min(abs(k - 9), abs(k - 30), 8), 200)], {(0, 1): 24})

    path = best_path([shown(k) for k in range(FRAMES)])
    assert path == [Assignment(None, 0) if 10 <= k < 30 else BOTH for k in range(FRAMES)]


def test_many_readings_of_the_same_hands_do_not_crowd_out_the_right_sides() -> None:
    """Six readings of each hand: all pairs with exchanged sides come before the first one with the right sides."""

    def shown(k: int) -> Step:
        hands: list[Place] = [("left", 250 + j, 200) for j in range(6)] + [("right", 150 + j, 200) for j in range(6)]
        pair: Scores = {}
        for i in range(6):
            for j in range(6, 12):
                worse = 0.02 * (i + j)
                pair[i, j] = (5 if k in WRONG else 12) - worse
                pair[j, i] = (12 if k in WRONG else -5) - worse
        return step(k, hands, pair)

    path = best_path([shown(k) for k in range(FRAMES)])
    assert all(hands.left is not None and hands.left < 6 <= (hands.right or 0) for hands in path)


@pytest.mark.parametrize("speed", [20.0, 30.0])
def test_hands_that_move_fast_one_behind_the_other_keep_their_sides(speed: float) -> None:
    """In every frame the right hand comes to where the left one was."""

    def shown(k: int) -> Step:
        hands: list[Place] = [("left", 100 + speed * (k + 1), 200), ("right", 100 + speed * k, 203)]
        return step(k, hands, {(0, 1): 10, (1, 0): 2}, {(0, 0): 4, (1, 1): 4})

    assert best_path([shown(k) for k in range(FRAMES)]) == [BOTH] * FRAMES
