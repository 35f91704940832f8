"""The expected hand: the mean of hypotheses that disagree, the chosen one where they agree, and a person's mark."""

from __future__ import annotations

import numpy as np
import pytest
from hand_pictures import seen_hand

from im2hands.keypoints.choosing.assignment import Assignment, answers
from im2hands.keypoints.choosing.expected import expected_hands
from im2hands.keypoints.choosing.judge import Verdict
from im2hands.keypoints.choosing.prior import EVEN
from im2hands.keypoints.hand_geometry import keypoint_distances
from im2hands.keypoints.hypothesis import Hypothesis

PALM = 80.0


def hypotheses(*shifts: float) -> list[Hypothesis]:
    """Left hands in a row, shifted by these palm lengths, and a right hand far away."""
    hand = seen_hand("left", (200, 240), PALM)
    places = [hand.pixels + np.array([shift * PALM, 0.0]) for shift in (*shifts, 9.0)]
    return [Hypothesis(place, hand.shape, np.full(21, 0.05), 0.9, 1.0, 0.0, 0.0, 0.1, "palms") for place in places]


def pairs(*scores: float) -> Verdict:
    """Scores of each left hand beside the right one; nothing else is probable."""
    count = len(scores) + 1
    pair = np.full((count, count), -20.0)
    pair[:-1, -1] = scores
    np.fill_diagonal(pair, -np.inf)
    return Verdict(np.full((count, 2), -20.0), pair)


def left_of(hands: list[Hypothesis], verdict: Verdict, marked: int | None = None) -> Hypothesis:
    apart = keypoint_distances(np.array([hand.pixels for hand in hands]))
    chosen = Assignment(0, len(hands) - 1)
    left, right = expected_hands(hands, answers(verdict, EVEN, (marked, None)), chosen, apart)
    assert left is not None and right is hands[-1]
    return left


def test_two_places_that_are_as_probable_become_their_middle_and_their_spread_says_so() -> None:
    hands = hypotheses(0.0, 0.4)
    left = left_of(hands, pairs(3.0, 3.0))
    moved = (left.pixels - hands[0].pixels) / (hands[1].pixels - hands[0].pixels + (0, 1e-9))
    assert 0.35 < moved[:, 0].mean() < 0.5  # a little less than the half: nearness to the chosen one counts
    assert left.spread.mean() > 0.15 and left.photo is None
    np.testing.assert_allclose(np.ptp(left.pixels, axis=0), np.ptp(hands[0].pixels, axis=0))


@pytest.mark.parametrize(
    ("shifts", "scores"),
    [((0.0, 0.1), (3.0, 3.0)), ((0.0, 0.4), (6.0, 0.0)), ((0.0, 3.0), (3.0, 3.0)), ((0.0,), (3.0,))],
    ids=["near", "improbable", "elsewhere", "alone"],
)
def test_the_chosen_hypothesis_stays_where_the_others_agree_with_it(
    shifts: tuple[float, ...], scores: tuple[float, ...]
) -> None:
    hands = hypotheses(*shifts)
    assert left_of(hands, pairs(*scores)) is hands[0]


def test_a_marked_hand_stays_where_a_person_marked_it() -> None:
    hands = hypotheses(0.0, 0.4)
    assert left_of(hands, pairs(3.0, 5.0), marked=0) is hands[0]


def test_a_hand_alone_and_no_hand() -> None:
    hands = hypotheses(0.0, 0.4)
    apart = keypoint_distances(np.array([hand.pixels for hand in hands]))
    single = np.array([[3.0, -9.0], [3.0, -9.0], [-9.0, -9.0]])
    seen = answers(Verdict(single, pairs(-20.0, -20.0).pair), EVEN)
    left, right = expected_hands(hands, seen, Assignment(0, None), apart)
    assert right is None and left is not None and left is not hands[0]
    assert expected_hands(hands, seen, Assignment(None, None), apart) == [None, None]
    impossible = Verdict(np.full((3, 2), -np.inf), np.full((3, 3), -np.inf))
    assert expected_hands(hands, answers(impossible, EVEN), Assignment(0, 2), apart) == [hands[0], hands[2]]
