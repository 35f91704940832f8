"""Labelled points that move to keypoints with errors: across the viewing ray as seen, along it as the keypoints."""

import numpy as np
import pytest
import torch

from im2hands.geometry.bones import QUERY_SCALE, bones_from_keypoints
from im2hands.lab.training.moved_points import at_depth_of, followed, moved_points
from im2hands.lab.training.scene_batches import stand_in

SEEN = np.ones(21, bool)
EXACT = stand_in().numpy()


def bones(keypoints):
    return bones_from_keypoints(torch.from_numpy(keypoints)[None], ["right"])


def around(keypoints):
    """Points 4 mm beside the last two phalanges of the index finger: canonical frame, and camera frame."""
    seen = np.concatenate([keypoints[6:8] * (1 - t) + keypoints[7:9] * t for t in (0.2, 0.5, 0.8)])
    seen = seen + np.array([0.0, 0.0, -0.004])
    own = bones(keypoints).to_query_space(torch.from_numpy(seen)[None])[0].numpy() * QUERY_SCALE
    return own, np.tile([2, 3], 3), seen


def moved(given, visible=SEEN, distance=None):
    own, part, seen = around(EXACT)
    query, holds = moved_points(own, part, bones(EXACT), bones(given), visible, distance)
    return bones(given).from_query_space(torch.from_numpy(query)[None])[0].numpy(), seen, holds


def pixels(points):
    return points[:, :2] / points[:, 2:]


def test_exact_keypoints_move_nothing():
    there, seen, holds = moved(EXACT, distance=np.full(6, 0.001))
    np.testing.assert_allclose(there, seen, atol=1e-9)
    assert holds.all()


def test_a_hand_at_another_distance_is_the_same_hand_in_the_picture():
    np.testing.assert_allclose(at_depth_of(EXACT * 1.3, EXACT), EXACT, atol=1e-12)


@pytest.mark.parametrize("shift", [(0.004, -0.003, 0.0), (0.0, 0.0, 0.02), (0.003, 0.003, -0.01)])
def test_visible_points_stay_in_the_picture_and_take_the_depth_of_the_keypoints(shift):
    there, seen, _ = moved(EXACT + shift)
    np.testing.assert_allclose(pixels(there), pixels(seen), atol=1e-9)
    np.testing.assert_allclose(there[:, 2], seen[:, 2] + shift[2], atol=1e-6)


@pytest.mark.parametrize("shift", [(0.004, 0.0, 0.01), (0.03, 0.0, 0.0)])
def test_hidden_points_and_points_far_off_stay_with_their_bones(shift):
    hidden = shift[0] < 0.01
    there, seen, _ = moved(EXACT + shift, ~SEEN if hidden else SEEN)
    np.testing.assert_allclose(there, seen + shift, atol=1e-6)
    assert hidden or not followed(EXACT, EXACT + shift, SEEN).any()


def test_a_bent_finger_takes_its_flesh_along():
    given = EXACT.copy()
    given[8] = given[7] + np.array([0.0, 0.0, -0.02])  # the last phalanx of the index finger, towards the camera
    there, _, _ = moved(given, ~SEEN)
    tip = there[1::2]  # 4 mm from the bone, as before
    gaps = np.linalg.norm((tip - given[7])[:, :2], axis=1)
    np.testing.assert_allclose(gaps, 0.004, atol=3e-4)


def test_a_point_outside_where_another_finger_was_moved_to_does_not_count():
    own, part, _ = around(EXACT)
    given = EXACT.copy()
    given[10:13] = EXACT[6:9] + np.array([0.0, 0.0, -0.004])  # the middle finger read where the index finger is
    hidden = np.zeros(21, bool)
    query, holds = moved_points(own, part, bones(EXACT), bones(given), hidden, np.full(6, 0.001))
    assert not holds.all()
    assert moved_points(own, part, bones(EXACT), bones(given), hidden, np.full(6, -0.001))[1].all()
    assert np.isfinite(query).all()
