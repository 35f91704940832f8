"""One thickness for a person's hands: what looks tell, masks that are wrong, photos and clips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_outline import CELLS, PALM_M, read_hand, shown_mask
from test_solve import CAMERA

from im2hands.core.hands import TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.apart import taken_apart
from im2hands.keypoints.placing.clip import place_clip
from im2hands.keypoints.placing.correction import Correction, corrected
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.placing.thickness import common_thickness

TOLD = 0.2


def thick(girth: float = 1.25) -> HandDetection:
    detection, hands = read_hand()
    return replace(detection, mask=shown_mask(hands, girth=girth))


def test_two_hands_tell_more_than_one_and_a_clip_no_more_than_a_photo() -> None:
    photo, clip = ([np.full(n, TOLD)] for n in (1, 500))
    one, two = common_thickness(photo), common_thickness([*photo, *photo])
    assert 0 < one < two < TOLD
    assert common_thickness(clip) == one
    assert common_thickness([*photo, np.array([np.nan])]) == one


@pytest.mark.parametrize("told", [[], [np.nan], [np.inf, np.nan]])
def test_edges_that_tell_nothing_leave_hands_as_usual(told) -> None:
    assert common_thickness([np.array(told), np.array([])]) == 0.0


def test_no_mask_makes_balloons_and_a_few_wrong_frames_count_for_nothing() -> None:
    assert np.exp(common_thickness([np.full(500, 3.0)] * 2)) == pytest.approx(1.2)
    assert np.exp(common_thickness([np.full(500, -3.0)] * 2)) == pytest.approx(0.85)
    assert common_thickness([np.append(np.full(9, 0.1), 2.0)]) == common_thickness([np.full(10, 0.1)])


def test_a_photo_of_a_thick_hand() -> None:
    thin, usual, made = (place_hands([thick(girth)], CAMERA, PALM_M).right for girth in (0.85, 1.0, 1.25))
    assert thin is not None and usual is not None and made is not None
    assert thin.thickness < usual.thickness < made.thickness < 1.2
    assert made.thickness > 1.02 and abs(usual.thickness - 1) < 0.04


@pytest.mark.parametrize("chance", [0.0, 1.0, np.nan])
def test_a_mask_without_an_edge(chance) -> None:
    hand = thick()
    assert hand.mask is not None
    blind = replace(hand, mask=replace(hand.mask, chance=np.full((CELLS, CELLS), chance, np.float16)))
    made = place_hands([blind], CAMERA, PALM_M).right
    assert made is not None and made.thickness == 1.0


def test_both_hands_of_a_person_are_as_thick_in_all_frames_of_a_clip() -> None:
    hand = thick()
    other = replace(hand, side="left", pixels=hand.pixels * (-1, 1) + (CAMERA.width - 1, 0),
                    shape=hand.shape * (-1, 1, 1), mask=None)  # fmt: skip
    for frames in (1, 3):
        made = place_clip([[hand, other]] * frames, [CAMERA] * frames, np.arange(frames) / 30, PALM_M)
        factors = {one.thickness for two in made for one in two.present()}
        assert len(factors) == 1 and 1.02 < factors.pop() < 1.2


def test_a_correction_keeps_the_thickness() -> None:
    made = place_hands([thick()], CAMERA, PALM_M).right
    assert made is not None
    x, y = CAMERA.project(made.positions)[8]
    moved = corrected(made, Correction({8: (x + 5.0, y, 0.0)}), CAMERA, "hand")
    assert moved.thickness == made.thickness and not np.array_equal(moved.positions, made.positions)


def test_thicker_hands_are_taken_farther_apart() -> None:
    made = place_hands([thick()], CAMERA, PALM_M).right
    assert made is not None
    # The other hand is the mirror image, beside it.
    x = made.positions[:, 0]
    beside = made.positions * (-1, 1, 1) + (2 * x.max() - np.ptp(x), 0, 0)
    left = replace(made, side="left", positions=beside)

    def moved(thickness: float) -> float:
        both = TwoHands(*(replace(hand, thickness=thickness) for hand in (left, made)))
        ways = [
            new.positions - old.positions
            for new, old in zip(taken_apart(both, CAMERA).present(), both.present(), strict=True)
        ]
        return float(np.abs(ways).sum())

    assert 0 < moved(0.9) < moved(1.15)
