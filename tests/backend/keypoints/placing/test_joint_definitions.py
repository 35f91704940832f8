"""Conversion of MediaPipe's keypoints to the bundled hand's joints: fingers reach their tips from every view."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hand_pictures import hand_shape, seen_hand

from im2hands.core.camera import Camera
from im2hands.keypoints.placing.joint_definitions import ALONG, SOURCES, from_own_definition, to_own_definition
from im2hands.keypoints.placing.solve import place_hands

TIPS = [4, 8, 12, 16, 20]


def test_tips_and_knuckles_go_outwards_and_the_wrist_inwards() -> None:
    shape = hand_shape("right")
    palm = np.linalg.norm(shape[9] - shape[0])
    pixels = shape[:, :2] * 1000 + 300
    _, moved = to_own_definition(pixels, shape)
    for k in TIPS:
        bone = shape[k] - shape[k - 1]
        step = moved[k] - shape[k]
        assert np.linalg.norm(step) == pytest.approx(ALONG[k] * palm)
        assert step @ bone > 0.99 * np.linalg.norm(step) * np.linalg.norm(bone)
    assert (moved[9] - shape[9]) @ (shape[9] - shape[0]) > 0
    assert (moved[0] - shape[0]) @ (shape[9] - shape[0]) > 0  # MediaPipe's wrist lies farther down the arm


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.9, 0.0, 0.0), (0.0, 1.1, 0.4)])
def test_pixels_move_as_the_shape_does(turn: tuple[float, float, float]) -> None:
    rotation = cv2.Rodrigues(np.array(turn))[0]
    shape = hand_shape("left") @ rotation.T
    pixels = shape[:, :2] * 900 + (320, 240)
    moved_pixels, moved = to_own_definition(pixels, shape)
    np.testing.assert_allclose(moved_pixels, moved[:, :2] * 900 + (320, 240), atol=1e-6)


def test_a_shape_without_bones_stays() -> None:
    shape = np.zeros((21, 3))
    pixels = np.full((21, 2), 5.0)
    moved_pixels, moved = to_own_definition(pixels, shape)
    assert (moved == shape).all() and (moved_pixels == pixels).all()


def test_lifted_hands_of_mediapipe_have_longer_fingers_and_others_stay_as_they_were() -> None:
    camera = Camera.from_fov(50, 640, 480)
    hand = seen_hand("right", (320, 240), 120)
    assert hand.source in SOURCES
    own = place_hands([replace(hand, source="file")], camera).right
    theirs = place_hands([hand], camera).right
    assert own is not None and theirs is not None
    np.testing.assert_array_equal(own.pixels, hand.pixels)
    for k in (8, 12, 16, 20):
        reach = [np.linalg.norm(camera.project(h.positions)[k] - hand.pixels[0]) for h in (own, theirs)]
        assert reach[1] > reach[0] + 1 and np.linalg.norm(theirs.pixels[k] - hand.pixels[k]) > 3


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.9, 0.0, 0.0), (0.0, 1.1, 0.4)])
def test_from_the_bundled_hands_joints_to_mediapipes_and_back(turn: tuple[float, float, float]) -> None:
    shape = hand_shape("right") @ cv2.Rodrigues(np.array(turn))[0].T
    pixels = shape[:, :2] * 900 + (320, 240)
    palm = np.linalg.norm(shape[9] - shape[0])
    back_pixels, back = to_own_definition(*from_own_definition(pixels, shape))
    assert np.linalg.norm(back - shape, axis=1).max() < 0.01 * palm
    assert np.linalg.norm(back_pixels - pixels, axis=1).max() < 0.01 * palm * 900
    assert np.linalg.norm(from_own_definition(pixels, shape)[1] - shape, axis=1).max() > 0.1 * palm
