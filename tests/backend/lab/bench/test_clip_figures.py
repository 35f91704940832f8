"""Figures of clips that need no truth, on hands that move as they are told."""

from __future__ import annotations

import numpy as np

from im2hands.keypoints.hand_geometry import palm_length
from im2hands.lab.bench.clip_figures import Hands, invented, leaps, swaps

RIGHT = np.array([(0.0, 0.0), *((x, -100.0 - 20 * k) for x in (-60.0, -20.0, 0.0, 20.0, 40.0) for k in range(4))])
SHAPES = {"left": RIGHT * (-1, 1), "right": RIGHT}
PALM = float(palm_length(RIGHT))


def at(**x: float) -> Hands:
    """Hands whose wrists lie x palm lengths to the right, by side."""
    return {side: np.add(SHAPES[side], (place * PALM, 0.0)) for side, place in x.items()}


def wrong(**x: float) -> Hands:
    """The same hands, each taken for one of the other side."""
    return {side: np.add(SHAPES["left" if side == "right" else "right"], (x[side] * PALM, 0.0)) for side in x}


def test_hands_at_rest_and_crossing_hands_are_no_swap() -> None:
    assert swaps([at(left=0, right=4)] * 3) == [] and leaps([at(left=0, right=4)] * 3) == []
    crossing = [at(left=0.3 * k, right=4 - 0.3 * k) for k in range(14)]
    assert swaps(crossing) == [] and leaps(crossing) == []
    assert swaps([]) == leaps([]) == []


def test_exchanged_sides_are_a_swap_and_a_leap() -> None:
    frames = [at(left=0, right=4), wrong(left=4.1, right=0.1), wrong(left=4.1, right=0.1), at(left=0, right=4)]
    assert swaps(frames) == leaps(frames) == [1, 3]


def test_one_hand_that_changes_its_side_is_a_swap() -> None:
    frames = [at(left=0), wrong(right=0.1), wrong(right=0.1), {**at(left=4), **wrong(right=0.1)}]
    assert swaps(frames) == [1] and leaps(frames) == []
    # Over frames without hands, too; and beside a hand that comes up.
    assert swaps([at(left=0), {}, {}, wrong(right=0.2)]) == [3]
    assert swaps([at(right=4), {**wrong(left=4), **at(right=0)}]) == [1]
    # A hand that comes up far away is another hand.
    assert swaps([at(left=0), at(right=3)]) == []


def test_a_leap_is_farther_than_a_palm_in_one_frame() -> None:
    frames = [at(right=0), at(right=0.9), at(right=2.1), {}, at(right=9), at(left=5, right=9)]
    assert leaps(frames) == [2]


def test_second_hands_count_where_one_is_shown() -> None:
    frames = [at(left=0, right=4), at(left=0, right=4), at(right=4), {}, at(left=0, right=4)]
    assert invented(frames, [10, 11, 12, 13, 20], [(11, 13), (20, 30)]) == (2, 4)
    assert invented(frames, [10, 11, 12, 13, 20], []) == (0, 0)
