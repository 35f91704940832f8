"""Placing: perspective-n-point of known hands, the fit to the pixels, bad input."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from chain_hands import bent_hand
from hand_pictures import hand_shape, seen_hand
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS
from im2hands.keypoints.hypothesis import HandDetection, WristOffset
from im2hands.keypoints.placing.confidence import Calibration
from im2hands.keypoints.placing.kinematics import REST
from im2hands.keypoints.placing.rigid import place
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands

CAMERA = Camera.from_fov(55.0, 640, 480)


def bone_lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[1:] - points[list(KEYPOINT_PARENTS[1:])], axis=1)


def possible_hand(side: str, curl: float) -> np.ndarray:
    """An anatomically possible hand (21, 3) in metres: open at curl 0, a fist at 1."""
    hand = DEFAULT_PALM_M * bent_hand(curl)
    # The palm faces the camera, fingers up: canonical -x is up in the picture, the back of the hand faces away.
    upright = hand[:, [2, 0, 1]] * (1.0, 1.0, 1.0)
    return upright * (-1.0 if side == "left" else 1.0, 1.0, 1.0)


def photographed(place_at: tuple[float, float, float], turn: tuple[float, float, float], curl: float, side="right"):
    """A hand in the camera frame and its detection; the detection's shape is as viewed along the hand's own ray."""
    shape = possible_hand(side, curl)
    rotated = (shape - shape.mean(axis=0)) @ cv2.Rodrigues(np.array(turn))[0].T
    truth = rotated + place_at
    detection = HandDetection(side, CAMERA.project(truth), rotated * 3.7, np.ones(21), 0.9, "test")
    return truth, detection


positions = st.tuples(st.floats(-0.12, 0.12), st.floats(-0.08, 0.08), st.floats(0.35, 1.5))
turns = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-3, 3))


@settings(max_examples=40, deadline=None)
@given(positions, turns, st.floats(0.0, 0.7))
def test_a_known_hand_is_found_where_it_is(position, turn, curl) -> None:
    truth, detection = photographed(position, turn, curl)
    hand = place_hands([detection], CAMERA).right
    assert hand is not None
    assert np.linalg.norm(hand.positions - truth, axis=1).mean() < 0.06 * truth[:, 2].mean()
    palm_px = DEFAULT_PALM_M * CAMERA.fx / truth[:, 2].mean()
    assert np.abs(CAMERA.project(hand.positions) - detection.pixels).max() < 0.12 * palm_px
    assert (hand.positions[:, 2] > 0).all()
    np.testing.assert_array_equal(hand.pixels, detection.pixels)


@settings(max_examples=25, deadline=None)
@given(positions, turns, st.floats(0.0, 0.7), st.integers(0, 10_000))
def test_noisy_pixels_keep_the_hand_plausible_and_over_the_picture(position, turn, curl, seed) -> None:
    truth, detection = photographed(position, turn, curl)
    palm_px = DEFAULT_PALM_M * CAMERA.fx / truth[:, 2].mean()
    noise = np.random.default_rng(seed).normal(0, 0.03 * palm_px, (21, 2))
    hand = place_hands([replace(detection, pixels=detection.pixels + noise)], CAMERA).right
    assert hand is not None
    miss = np.linalg.norm(CAMERA.project(hand.positions) - hand.pixels, axis=1)
    assert miss.mean() < 0.05 * palm_px
    ratio = bone_lengths(hand.positions) / (bone_lengths(REST) * DEFAULT_PALM_M)
    assert ratio.min() > 0.6 and ratio.max() < 1.6


def test_palm_size_sets_the_depth() -> None:
    _, detection = photographed((0.02, 0.01, 0.5), (0.2, 0.1, 0.3), 0.3)
    small, large = (place_hands([detection], CAMERA, palm_m=palm).right for palm in (0.08, 0.16))
    assert small is not None and large is not None
    np.testing.assert_allclose(large.positions, 2 * small.positions, rtol=0.02, atol=1e-3)
    assert np.linalg.norm(small.positions[9] - small.positions[0]) == pytest.approx(0.08, rel=0.03)


def test_the_mirrored_picture_gives_the_mirrored_hand() -> None:
    _, detection = photographed((0.08, -0.03, 0.6), (0.3, -0.4, 0.9), 0.4)
    width = CAMERA.width - 1
    mirrored = HandDetection(
        "left",
        detection.pixels * (-1, 1) + (width, 0),
        detection.shape * (-1, 1, 1),
        detection.confidence,
        0.9,
        "test",
    )
    hands = place_hands([detection, mirrored], CAMERA)
    assert hands.left is not None and hands.right is not None
    np.testing.assert_allclose(hands.left.positions * (-1, 1, 1), hands.right.positions, atol=2e-4)


def test_two_hands_keep_their_distance() -> None:
    left_truth, left = photographed((0.07, 0.0, 0.5), (0.1, 0.2, 0.2), 0.3, "left")
    right_truth, right = photographed((-0.07, 0.02, 0.62), (0.0, -0.3, -0.2), 0.5, "right")
    hands = place_hands([right, left], CAMERA)
    assert hands.left is not None and hands.right is not None
    truth = left_truth.mean(axis=0) - right_truth.mean(axis=0)
    np.testing.assert_allclose(hands.left.positions.mean(0) - hands.right.positions.mean(0), truth, atol=0.02)


def test_the_fit_moves_keypoints_to_their_pixels() -> None:
    _, detection = photographed((0.0, 0.0, 0.5), (0.2, 0.1, 0.0), 0.3)
    bent, _ = photographed((0.0, 0.0, 0.5), (0.2, 0.1, 0.0), 0.5)
    placed = place(bent - bent.mean(axis=0), detection.pixels, CAMERA)
    hand = place_hands([replace(detection, shape=bent - bent.mean(axis=0))], CAMERA).right
    assert hand is not None
    before = np.linalg.norm(CAMERA.project(placed) - detection.pixels, axis=1).mean()
    after = np.linalg.norm(CAMERA.project(hand.positions) - detection.pixels, axis=1).mean()
    assert after < 0.3 * before


def test_pixels_that_pnp_cannot_explain_still_give_a_hand_in_front_of_the_camera() -> None:
    flat = hand_shape(curl=0.0) * (1, 1, 0)
    pixels = (flat[:, :2] * (1, -0.3)) * 900 + 240  # upside down: no rotation below the limit gives this
    placed = place(flat, pixels, CAMERA)
    assert (placed[:, 2] > 0.05).all() and np.isfinite(placed).all()
    near = seen_hand("left", palm_px=600)
    hand = place_hands([near], CAMERA).left
    assert hand is not None and (hand.positions[:, 2] >= 0.05).all()


def test_hands_without_extent_are_left_out() -> None:
    good = seen_hand("right")
    for bad in (
        replace(good, pixels=np.full((21, 2), 100.0)),
        replace(good, shape=np.zeros((21, 3))),
        replace(good, pixels=np.full((21, 2), np.nan)),
    ):
        assert place_hands([bad], CAMERA).present() == []
    assert place_hands([], CAMERA).present() == []


def test_of_two_detections_of_a_side_the_surer_counts() -> None:
    sure, unsure = seen_hand("left", (200, 200), score=0.9), seen_hand("left", (400, 200), score=0.6)
    for order in ([sure, unsure], [unsure, sure]):
        hand = place_hands(order, CAMERA).left
        assert hand is not None
        assert np.linalg.norm(hand.pixels - sure.pixels, axis=1).max() < 15 and hand.pixels[:, 0].max() < 300


def test_confidence_falls_where_shape_and_pixels_disagree_and_outside_the_picture() -> None:
    hand = seen_hand("right", (320, 240))
    moved = hand.pixels.copy()
    moved[8] += (0, -60)
    lifted = place_hands([replace(hand, pixels=moved)], CAMERA, calibration=Calibration({})).right
    assert lifted is not None
    assert lifted.confidence[8] < 0.5 * np.median(lifted.confidence)
    assert ((lifted.confidence >= 0) & (lifted.confidence <= 1)).all()
    cut = place_hands([seen_hand("right", (320, 20))], CAMERA, calibration=Calibration({})).right
    assert cut is not None
    assert cut.confidence[12] < 0.6 * cut.confidence[0]


def test_the_way_between_the_wrists_corrects_the_depth_that_sizes_tell() -> None:
    camera = Camera.from_fov(50, 640, 480)
    left, right = seen_hand("left", (220, 240), 60), seen_hand("right", (420, 240), 60)
    flat = place_hands([left, right], camera)
    assert flat.left is not None and flat.right is not None
    assert abs(flat.right.positions[0, 2] - flat.left.positions[0, 2]) < 0.01
    sure = WristOffset(np.array([1.0, 0.0, 1.0]), np.array([0.1, 0.1, 0.1]))
    told = place_hands(
        [replace(left, wrist_offset=sure), replace(right, wrist_offset=WristOffset(-sure.vector, sure.spread))], camera
    )
    assert told.left is not None and told.right is not None
    apart = told.right.positions[0, 2] - told.left.positions[0, 2]
    assert 0.06 < apart < 0.088
    for now, before in ((told.left, flat.left), (told.right, flat.right)):
        np.testing.assert_allclose(now.positions - now.positions[0], before.positions - before.positions[0], atol=8e-3)
        middle = camera.project(np.stack([now.positions.mean(axis=0), before.positions.mean(axis=0)]))
        np.testing.assert_allclose(middle[0], middle[1], atol=1.0)  # the hand moved along its own ray
    vague = WristOffset(sure.vector, np.full(3, 3.0))
    unsure = place_hands([replace(left, wrist_offset=vague), right], camera)
    assert unsure.left is not None and unsure.right is not None
    assert abs(unsure.right.positions[0, 2] - unsure.left.positions[0, 2]) < 0.02
