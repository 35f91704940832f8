"""Sizes and sides of hands from their keypoints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hand_pictures import hand_shape, seen_hand
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.core.hands import SIDES
from im2hands.keypoints.hand_geometry import chirality, log_odds, outline_distance, palm_length

angles = st.floats(-3.1, 3.1)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(SIDES), angles, angles, angles, st.floats(0.1, 0.9), st.floats(0.01, 10))
def test_chirality_tells_the_side_of_a_hand_however_it_is_turned(side, a, b, c, curl, scale) -> None:
    turned = hand_shape(side, curl) @ cv2.Rodrigues(np.array([a, b, c]))[0].T * scale + (a, b, c)
    assert (chirality(turned) > 0.05) == (side == "right")
    assert chirality(turned) == pytest.approx(-chirality(turned * (-1, 1, 1)), abs=1e-9)


def test_chirality_of_a_palm_without_a_plane_says_nothing() -> None:
    assert chirality(np.arange(21)[:, None] * (0.0, 0.01, 0.0)) == 0.0


def test_palm_length_does_not_collapse_when_the_palm_is_seen_end_on() -> None:
    pixels = seen_hand("left", palm_px=100).pixels
    end_on = pixels.copy()
    end_on[[5, 9, 13, 17]] = end_on[0]
    assert palm_length(end_on) > 0.5 * palm_length(pixels) > 0


def test_a_hand_whose_thumb_and_little_finger_are_confused_has_the_same_outline() -> None:
    hand = seen_hand("right").pixels
    swapped = hand[[0, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]]
    assert outline_distance(hand, swapped) == 0.0
    near, far = hand + np.array([3.0, 0.0]), hand + np.array([300.0, 0.0])
    assert outline_distance(hand, near) < 0.1 < 1.0 < outline_distance(hand, far)


def test_log_odds_are_bounded() -> None:
    np.testing.assert_allclose(log_odds(np.array([0.0, 0.5, 1.0])), [-4, 0, 4])
