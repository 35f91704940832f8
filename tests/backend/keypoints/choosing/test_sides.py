"""Sides: chirality, two hands with one side, hands found twice, steady sides over time."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hand_pictures import hand_shape, seen_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from im2hands.keypoints.choosing.sides import (
    SideTracker,
    chirality,
    evidence,
    outline_distance,
    palm_length,
    resolve_sides,
    weigh_shape,
    with_side,
    without_doubles,
)

from im2hands.core.hands import SIDES, Side

OTHER: dict[str, Side] = {"left": "right", "right": "left"}
angles = st.floats(-3.1, 3.1)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(SIDES), angles, angles, angles, st.floats(0.1, 0.9), st.floats(0.01, 10))
def test_chirality_tells_the_side_of_a_hand_however_it_is_turned(side, a, b, c, curl, scale) -> None:
    turned = hand_shape(side, curl) @ cv2.Rodrigues(np.array([a, b, c]))[0].T * scale + (a, b, c)
    assert (chirality(turned) > 0.05) == (side == "right")
    assert chirality(turned) == pytest.approx(-chirality(turned * (-1, 1, 1)), abs=1e-9)


def test_chirality_of_a_palm_without_a_plane_says_nothing() -> None:
    assert chirality(np.arange(21)[:, None] * (0.0, 0.01, 0.0)) == 0.0


def test_the_shape_outvotes_a_doubtful_label_but_not_a_certain_one() -> None:
    doubtful = replace(seen_hand("left"), side="right", score=0.7)
    assert weigh_shape(doubtful).side == "left"
    flat = replace(doubtful, shape=hand_shape("left", 0.0) * (1, 1, 0.05), score=0.98)
    assert weigh_shape(flat).side == "right"


def test_evidence_and_with_side_undo_each_other() -> None:
    for right in (-4.0, -0.3, 0.2, 5.0):
        assert evidence(with_side(seen_hand("left"), right)) == pytest.approx(right, abs=1e-3)


def test_of_two_hands_of_one_side_the_less_certain_changes() -> None:
    sure, unsure = seen_hand("right", (200, 200)), seen_hand("right", (450, 200))
    hands = resolve_sides([unsure, sure], [0.8, 3.0])
    assert [hand.side for hand in hands] == ["left", "right"]
    np.testing.assert_array_equal(hands[0].pixels, unsure.pixels)
    assert hands[0].score < 0.6 < hands[1].score


def test_two_certain_right_hands_are_two_people() -> None:
    best, other = seen_hand("right", (200, 200), score=0.99), seen_hand("right", (450, 200), score=0.9)
    hands = resolve_sides([other, best], [6.0, 7.0])
    assert len(hands) == 1
    np.testing.assert_array_equal(hands[0].pixels, best.pixels)


def test_a_hand_found_twice_is_kept_once_even_with_thumb_and_little_finger_confused() -> None:
    hand = seen_hand("right", score=0.9)
    swapped = hand.pixels[[0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]]
    double = replace(hand, side="left", pixels=swapped + 3, score=0.8)
    far = seen_hand("left", (520, 240), score=0.7)
    assert outline_distance(hand.pixels, swapped) == 0.0
    assert without_doubles([double, far, hand]) == [hand, far]


def test_palm_length_does_not_collapse_when_the_palm_is_seen_end_on() -> None:
    pixels = seen_hand("left", palm_px=100).pixels
    end_on = pixels.copy()
    end_on[[5, 9, 13, 17]] = end_on[0]
    assert palm_length(end_on) > 0.5 * palm_length(pixels) > 0


def moving(index: int) -> list:
    return [seen_hand("left", (420 + 3 * index, 240)), seen_hand("right", (200 + 2 * index, 230))]


@pytest.mark.parametrize("wrong", [[4], [4, 5], [0]])
def test_sides_flipped_in_single_frames_are_corrected(wrong: list[int]) -> None:
    tracker = SideTracker()
    for index in range(12):
        truth = moving(index)
        given_sides = [replace(h, side=OTHER[h.side], score=0.8) if index in wrong else h for h in truth]
        hands = tracker.update(given_sides)
        if index not in wrong or index > 0:
            for hand, true in zip(hands, truth, strict=True):
                assert hand.side == true.side
                np.testing.assert_array_equal(hand.pixels, true.pixels)


def test_one_hand_that_flips_alone_is_corrected_too_and_remembered_while_out_of_sight() -> None:
    tracker = SideTracker()
    for index in range(5):
        tracker.update(moving(index))
    flipped = replace(moving(5)[0], side="right", score=0.9)
    assert [hand.side for hand in tracker.update([flipped])] == ["left"]
    both = [flipped, moving(6)[1]]
    assert [hand.side for hand in tracker.update(both)] == ["left", "right"]


def test_a_track_seen_wrongly_at_first_turns_with_enough_evidence() -> None:
    tracker = SideTracker()
    tracker.update([seen_hand("left", score=0.75)])
    sides = [tracker.update([seen_hand("right", score=0.97)])[0].side for _ in range(3)]
    assert sides[-1] == "right"


def test_a_resumed_clip_takes_its_sides_from_the_frame_before() -> None:
    previous = moving(3)
    doubtful = [replace(h, side=OTHER[h.side], score=0.6) for h in moving(4)]
    assert [hand.side for hand in SideTracker().update(doubtful, previous)] == ["left", "right"]
    alone = SideTracker().update(doubtful)
    np.testing.assert_array_equal(alone[0].pixels, moving(4)[1].pixels)
