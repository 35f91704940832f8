"""Conversion of other definitions of the joints to the bundled hand's: fingers reach their tips from every view."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from chain_hands import canonical_hand
from hand_pictures import hand_shape, seen_hand

from im2hands.core.camera import Camera
from im2hands.core.hands import SIDES, Side
from im2hands.keypoints.hypothesis import OWN, READ, READING
from im2hands.keypoints.placing.joint_definitions import OFFSETS, from_own_definition, joint_axes, to_own_definition
from im2hands.keypoints.placing.kinematics import ANGLE_LIMITS
from im2hands.keypoints.placing.solve import place_hands

TIPS = [4, 8, 12, 16, 20]
TURNS = [(0.0, 0.0, 0.0), (0.9, 0.0, 0.0), (0.0, 1.1, 0.4)]


def bent(side: Side, first: float, others: float) -> np.ndarray:
    """Hand in its canonical frame (back of the hand along +y) whose fingers are bent by the given degrees."""
    angles = ANGLE_LIMITS[..., 2].copy()
    angles[1:, 0], angles[1:, 1:3] = np.radians(first), np.radians(others)
    return canonical_hand(angles) * ((-1.0 if side == "left" else 1.0), 1.0, 1.0)


@pytest.mark.parametrize("source", sorted(OFFSETS))
def test_tips_and_knuckles_go_outwards_and_the_wrist_inwards(source: str) -> None:
    shape = hand_shape("right")
    palm = np.linalg.norm(shape[9] - shape[0])
    pixels = shape[:, :2] * 1000 + 300
    _, moved = to_own_definition(pixels, shape, "right", source)
    for k in TIPS:
        bone = shape[k] - shape[k - 1]
        step = moved[k] - shape[k]
        assert np.linalg.norm(step) == pytest.approx(np.linalg.norm(OFFSETS[source][k]) * palm)
        assert step @ bone > 0.9 * np.linalg.norm(step) * np.linalg.norm(bone)
    assert (moved[9] - shape[9]) @ (shape[9] - shape[0]) > 0
    assert (moved[0] - shape[0]) @ (shape[9] - shape[0]) > 0  # the read wrist lies farther down the arm


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("first", "others"), [(0.0, 0.0), (45.0, 30.0), (85.0, 90.0)])
def test_the_back_of_a_finger_is_outside_its_bend(side: Side, first: float, others: float) -> None:
    shape = bent(side, first, others)
    axes = joint_axes(shape, side)
    np.testing.assert_allclose(axes @ axes.swapaxes(1, 2), np.broadcast_to(np.eye(3), (21, 3, 3)), atol=1e-9)
    assert axes[0, 1, 1] > 0.99 and (axes[[5, 9, 13, 17], 1, 1] > 0.9).all()  # of the palm: +y
    # Bending moves a bone's end to the palm's side, so the back is where it comes from.
    step = bent(side, first, others + 1.0) - shape
    for k in (6, 7, 10, 11, 14, 15):
        turned = step[k + 1] - step[k]
        assert turned @ axes[k + 1, 1] < 0
    thumb_side = shape[5] - shape[17]
    assert ((axes[5:, 2] @ thumb_side) > 0).all()


def test_middle_joints_of_mediapipe_move_to_the_back_of_the_hand() -> None:
    for side in SIDES:
        shape = bent(side, 0.0, 0.0)
        _, moved = to_own_definition(shape[:, :2] * 900, shape, side, READ)
        assert ((moved - shape)[[6, 10, 14, 18], 1] > 0.01).all()
        _, moved = to_own_definition(shape[:, :2] * 900, shape, side, READING)
        back = ((moved - shape) * joint_axes(shape, side)[:, 1]).sum(axis=1)
        np.testing.assert_allclose(back, 0.0, atol=1e-9)


@pytest.mark.parametrize("source", sorted(OFFSETS))
def test_the_mirrored_hand_moves_as_the_mirror_image(source: str) -> None:
    shape = hand_shape("right") @ cv2.Rodrigues(np.array(TURNS[2]))[0].T
    flip = np.array([-1.0, 1.0, 1.0])
    pixels = shape[:, :2] * 900
    right = to_own_definition(pixels, shape, "right", source)
    left = to_own_definition(pixels * flip[:2], shape * flip, "left", source)
    np.testing.assert_allclose(left[0] * flip[:2], right[0], atol=1e-9)
    np.testing.assert_allclose(left[1] * flip, right[1], atol=1e-12)


def test_our_own_keypoints_stay() -> None:
    shape = hand_shape("right")
    pixels = shape[:, :2] * 900
    for convert in (to_own_definition, from_own_definition):
        for source in (OWN, "file"):
            same = convert(pixels, shape, "right", source)
            assert same[0] is pixels and same[1] is shape


@pytest.mark.parametrize("source", sorted(OFFSETS))
@pytest.mark.parametrize("turn", TURNS)
def test_pixels_move_as_the_shape_does(turn: tuple[float, float, float], source: str) -> None:
    rotation = cv2.Rodrigues(np.array(turn))[0]
    shape = hand_shape("left") @ rotation.T
    pixels = shape[:, :2] * 900 + (320, 240)
    moved_pixels, moved = to_own_definition(pixels, shape, "left", source)
    np.testing.assert_allclose(moved_pixels, moved[:, :2] * 900 + (320, 240), atol=1e-6)


def test_a_shape_without_bones_stays() -> None:
    shape = np.zeros((21, 3))
    pixels = np.full((21, 2), 5.0)
    moved_pixels, moved = to_own_definition(pixels, shape, "right", READ)
    assert (moved == shape).all() and (moved_pixels == pixels).all()


def test_lifted_hands_of_mediapipe_have_longer_fingers_and_others_stay_as_they_were() -> None:
    camera = Camera.from_fov(50, 640, 480)
    hand = seen_hand("right", (320, 240), 120)
    assert hand.source in OFFSETS
    own = place_hands([replace(hand, source="file")], camera).right
    theirs = place_hands([hand], camera).right
    assert own is not None and theirs is not None
    np.testing.assert_array_equal(own.pixels, hand.pixels)
    for k in (8, 12, 16, 20):
        reach = [np.linalg.norm(camera.project(h.positions)[k] - hand.pixels[0]) for h in (own, theirs)]
        assert reach[1] > reach[0] + 1 and np.linalg.norm(theirs.pixels[k] - hand.pixels[k]) > 3


@pytest.mark.parametrize("source", sorted(OFFSETS))
@pytest.mark.parametrize("turn", TURNS)
def test_from_the_bundled_hands_joints_to_mediapipes_and_back(turn: tuple[float, float, float], source: str) -> None:
    shape = hand_shape("right") @ cv2.Rodrigues(np.array(turn))[0].T
    pixels = shape[:, :2] * 900 + (320, 240)
    palm = np.linalg.norm(shape[9] - shape[0])
    back_pixels, back = to_own_definition(*from_own_definition(pixels, shape, "right", source), "right", source)
    assert np.linalg.norm(back - shape, axis=1).max() < 0.01 * palm
    assert np.linalg.norm(back_pixels - pixels, axis=1).max() < 0.01 * palm * 900
    assert np.linalg.norm(from_own_definition(pixels, shape, "right", source)[1] - shape, axis=1).max() > 0.1 * palm
