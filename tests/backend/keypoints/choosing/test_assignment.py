"""The most probable hands of one picture: priors, marked hands, probabilities; and the prior that a take teaches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.keypoints.choosing.assignment import Answers, Assignment, answers, log_sum
from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.choosing.prior import EVEN, HANDS, OF_HANDS, Prior, learned_prior

numbers = st.integers(-480, 480).map(lambda count: count / 16)  # no two that sums cannot tell apart


def verdict(single: list[list[float]], pair: list[list[float]] | None = None) -> Verdict:
    """Scores with an impossible diagonal; without ``pair`` all pairs are very improbable."""
    both = np.full((len(single), len(single)), -20.0) if pair is None else np.array(pair, np.float64)
    np.fill_diagonal(both, -np.inf)
    return Verdict(np.array(single, np.float64).reshape(-1, 2), both)


@st.composite
def verdicts(draw: st.DrawFn, least: int = 0) -> Verdict:
    count = draw(st.integers(least, 5))
    single = draw(st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=count, max_size=count))
    pair = draw(st.lists(st.lists(numbers, min_size=count, max_size=count), min_size=count, max_size=count))
    return verdict(single, pair) if count else verdict([])


def test_every_value_of_the_option_has_a_prior() -> None:
    assert set(OF_HANDS) == set(HANDS)


@settings(max_examples=60, deadline=None)
@given(verdicts(2))
def test_both_forces_a_pair_however_improbable(given_verdict: Verdict) -> None:
    best = answers(given_verdict, OF_HANDS["both"]).best()
    assert best.left is not None and best.right is not None and best.left != best.right
    assert given_verdict.pair[best.left, best.right] == given_verdict.pair.max()


@settings(max_examples=60, deadline=None)
@given(verdicts(), st.sampled_from(["left", "right"]))
def test_left_and_right_never_give_a_second_hand(given_verdict: Verdict, side: str) -> None:
    best = answers(given_verdict, OF_HANDS[side]).best()
    assert (best.right if side == "left" else best.left) is None


@pytest.mark.parametrize("hands", HANDS)
def test_no_hypothesis_is_no_hand(hands: str) -> None:
    assert answers(verdict([]), OF_HANDS[hands]).best() == Assignment(None, None)


def test_both_does_not_lose_the_only_hand_that_is_there() -> None:
    assert answers(verdict([[-3.0, 4.0]]), OF_HANDS["both"]).best() == Assignment(None, 0)
    assert answers(verdict([[-3.0, -4.0]]), OF_HANDS["both"]).best() == Assignment(None, None)


def test_what_is_improbable_is_left_out_without_a_word_of_a_person() -> None:
    seen = verdict([[-5.0, -5.0], [-5.0, -5.0]])
    assert answers(seen, EVEN).best() == Assignment(None, None)
    assert answers(verdict([[6.0, 0.0], [0.0, -1.0]]), EVEN).best() == Assignment(0, None)
    assert answers(verdict([[6.0, 0.0], [0.0, 5.0]], [[0, 12.0], [1.0, 0]]), EVEN).best() == Assignment(0, 1)


def test_a_hand_that_appears_as_several_hypotheses_counts_with_all_of_them() -> None:
    """The best single answer is the third hand alone, but the first hand, read twice, is more probable with it."""
    single = [[1.0, 0.0], [1.0, 0.0], [0.0, 3.0]]
    pair = [[0, 0, 2.6], [0, 0, 2.6], [0, 0, 0]]
    assert answers(verdict(single, pair), EVEN).best() == Assignment(0, 2)


def test_a_hypothesis_amid_probable_ones_wins_over_a_likelier_one_by_itself() -> None:
    """Four left hands: three lie within a tenth of a palm length, the fourth far away; the fifth is the right hand."""
    along = np.array([0.0, 0.1, 0.2, 3.0, 9.0])
    apart = abs(along[:, None] - along)
    pair = np.full((5, 5), -20.0)
    pair[:4, 4] = 2.0, 2.0, 2.0, 2.5
    seen = verdict([[0.0, 0.0]] * 5, pair.tolist())
    for marked, lone, amid in (((None, None), 3, 1), ((2, None), 2, 2)):
        made = answers(seen, OF_HANDS["both"], marked)
        assert made.best() == Assignment(lone, 4)
        assert made.best(apart) == Assignment(amid, 4)
    alone = verdict([[2.0, -9.0], [2.0, -9.0], [2.0, -9.0], [2.5, -9.0], [-9.0, -9.0]])
    assert answers(alone, OF_HANDS["left"]).best(apart) == Assignment(1, None)


@settings(max_examples=60, deadline=None)
@given(verdicts(1), st.sampled_from([0, 1]), st.data(), st.sampled_from(["auto", "both"]))
def test_a_marked_hand_is_always_taken_on_its_side(
    given_verdict: Verdict, side: int, data: st.DataObject, hands: str
) -> None:
    row = data.draw(st.integers(0, len(given_verdict.single) - 1))
    marked = (row, None) if side == 0 else (None, row)
    made = answers(given_verdict, OF_HANDS[hands], marked)
    assert made.best().rows()[side] == row
    here = np.arange(len(given_verdict.single)) == row
    assert made.probability(side, here) == pytest.approx(1.0)
    assert made.probability(side, ~here) == 0.0


def test_two_marked_hands_are_both_taken_and_the_scores_stay_as_they_were() -> None:
    seen = verdict([[9.0, -9.0], [-9.0, -9.0], [9.0, 9.0]], [[0, -9, 9], [-9, 0, 9], [9, 9, 0]])
    before = seen.single.copy(), seen.pair.copy()
    assert answers(seen, EVEN, (1, 0)).best() == Assignment(1, 0)
    np.testing.assert_array_equal(seen.single, before[0])
    np.testing.assert_array_equal(seen.pair, before[1])


@settings(max_examples=60, deadline=None)
@given(verdicts(), st.sampled_from(HANDS))
def test_probabilities_are_probabilities(given_verdict: Verdict, hands: str) -> None:
    made = answers(given_verdict, OF_HANDS[hands])
    counted = made.counted()
    assert counted.sum() == pytest.approx(1.0) and (counted >= 0).all()
    every = np.ones(len(given_verdict.single), bool)
    assert made.probability(0, every) == pytest.approx(counted[1] + counted[3])
    assert made.probability(1, every) == pytest.approx(counted[2] + counted[3])
    assert made.probability(0, ~every) == 0.0


def test_the_mirrored_picture_has_the_mirrored_answer() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        seen = verdict(rng.normal(0, 4, (4, 2)).tolist(), rng.normal(0, 4, (4, 4)).tolist())
        best = answers(seen, EVEN).best()
        turned = answers(Verdict(seen.single[:, ::-1], seen.pair.T), EVEN).best()
        assert turned == Assignment(best.right, best.left)


def test_sums_of_nothing_are_nothing() -> None:
    assert log_sum(np.zeros(0)) == -np.inf and log_sum(np.full(3, -np.inf)) == -np.inf
    assert log_sum(np.array([1000.0, 1000.0])) == pytest.approx(1000 + np.log(2))
    assert Answers(0.0, np.zeros((0, 2)), np.zeros((0, 0))).counted().tolist() == [1, 0, 0, 0]


def clear(kind: int, strength: float = 6.0) -> Verdict:
    """A picture that shows no hand (0), the left (1), the right (2) or both (3)."""
    single = np.full((2, 2), -strength)
    pair = np.full((2, 2), -strength)
    if kind in (1, 3):
        single[0, 0] = strength
    if kind in (2, 3):
        single[1, 1] = strength
    if kind == 3:
        pair[0, 1] = 2 * strength
    return verdict(single.tolist(), pair.tolist())


def test_a_take_teaches_how_many_hands_there_are() -> None:
    two = learned_prior([clear(3)] * 30)
    assert two.both > 1.0 > -1.0 > max(two.none, two.left, two.right)
    one = learned_prior([clear(2)] * 30)
    assert one.right > 1.0 > -1.0 > max(one.none, one.left, one.both)
    doubtful = verdict([[2.0, -5.0], [-5.0, 1.0]], [[0, 2.4], [-5.0, 0]])
    assert answers(doubtful, two).best() == Assignment(0, 1)
    left = learned_prior([clear(1)] * 30)
    assert answers(doubtful, left).best() == Assignment(0, None)


def test_a_short_take_teaches_little_and_an_empty_one_nothing() -> None:
    assert learned_prior([]) == EVEN
    few, many = learned_prior([clear(3)]), learned_prior([clear(3)] * 50)
    assert 0 < few.both < many.both and few.none > many.none > -np.inf
    nothing = learned_prior([verdict([])] * 9)
    assert isinstance(nothing, Prior) and nothing.none > 0 > nothing.both
