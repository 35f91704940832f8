"""A person's corrections of a placed hand: the pixels are met, and what was not corrected stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import hand_positions
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import HandKeypoints, Side
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.correction import Correction, corrected
from im2hands.keypoints.placing.solve import place_hands

CAMERA = Camera.from_fov(60, 640, 480)
PALM_M = 0.088


def placed(side: Side = "left") -> HandKeypoints:
    """A hand as the finder places it."""
    points = hand_positions(side)
    detection = HandDetection(side, CAMERA.project(points), points, np.ones(21), 0.7, "crops")
    found = place_hands([detection], CAMERA, PALM_M).get(side)
    assert found is not None
    return found


def correct(hand: HandKeypoints, points: dict[int, tuple[float, float, float]]) -> HandKeypoints:
    return corrected(hand, Correction(points), CAMERA, f"{hand.side} hand of frame 000001")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("keypoint", [4, 8, 11, 20])
def test_the_place_is_met_and_the_rest_stays(side: Side, keypoint: int) -> None:
    hand = placed(side)
    was = CAMERA.project(hand.positions)
    wanted = was[keypoint] + (9.0, 6.0)
    made = correct(hand, {keypoint: (*wanted.tolist(), 0.0)})
    now = CAMERA.project(made.positions)
    assert np.linalg.norm(now[keypoint] - wanted) < 0.5
    finger = range(keypoint - (keypoint - 1) % 4, keypoint - (keypoint - 1) % 4 + 4)
    others = [k for k in range(21) if k not in finger]
    assert np.linalg.norm(now[others] - was[others], axis=1).max() < 2.0
    assert np.linalg.norm(made.positions[others] - hand.positions[others], axis=1).max() < 0.008
    assert made.confidence[keypoint] == 1.0
    assert np.array_equal(made.confidence[others], hand.confidence[others])
    assert np.array_equal(made.pixels[keypoint], wanted)


def test_a_bent_finger_moves_in_depth() -> None:
    hand = placed()
    place = CAMERA.project(hand.positions)[8]
    nearer = 0.6 * place + 0.4 * CAMERA.project(hand.positions)[5]  # a finger that is seen shorter
    away = {
        shift: correct(hand, {8: (*nearer.tolist(), shift)}).positions[8, 2] - hand.positions[8, 2]
        for shift in (0.02, -0.02)
    }
    assert away[0.02] > away[-0.02] + 0.01


def test_of_a_file_only_the_corrected_ones_move() -> None:
    hand = replace(placed(), source="file")
    made = correct(hand, {8: (200.0, 150.0, 0.01)})
    assert np.allclose(CAMERA.project(made.positions)[8], (200.0, 150.0))
    assert made.positions[8, 2] == pytest.approx(hand.positions[8, 2] + 0.01)
    others = np.arange(21) != 8
    assert np.array_equal(made.positions[others], hand.positions[others])


def test_no_hand_can_be_there() -> None:
    hand = replace(placed(), source="file")
    x, y = CAMERA.project(hand.positions)[9].tolist()
    with pytest.raises(InputError, match="of no hand") as caught:
        correct(hand, {5: (x, y, 0.0), 17: (x, y, 0.0), 0: (x, y, 0.0)})
    assert "take the edit back" in caught.value.hint


def test_later_places_count() -> None:
    both = Correction({8: (1.0, 2.0, 0.0)}).over(Correction({8: (3.0, 4.0, 0.1), 4: (5.0, 6.0, 0.0)}))
    assert both.points == {8: (1.0, 2.0, 0.0), 4: (5.0, 6.0, 0.0)}
