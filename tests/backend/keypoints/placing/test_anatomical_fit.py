"""The kinematic hand and its fit: derivatives, proportions, known hands, joint limits, mirrored hands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from im2hands.core.camera import Camera
from im2hands.geometry.hand_model import HandModel
from im2hands.keypoints.placing.anatomical_fit import Trust, fit_hand
from im2hands.keypoints.placing.kinematics import (
    ANGLE_LIMITS,
    FLEXION,
    PARAMETERS,
    REST,
    SPREADING,
    USUAL_STRETCH,
    HandPose,
    canonical_rotation,
)
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.lab.synthesis.poses import mean_shape

CAMERA = Camera.from_fov(55, 1280, 960)
PALM = 0.088
SURE = Trust.by_confidence(np.ones(21))


def _turn(seed: int) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return turn * np.linalg.det(turn)


def _pose(seed: int) -> HandPose:
    rng = np.random.default_rng(seed)
    low, high, _ = np.moveaxis(ANGLE_LIMITS, -1, 0)
    angles = low + (high - low) * rng.uniform(0.25, 0.75, size=(5, 4))
    return HandPose(_turn(seed), np.array([0.02, -0.03, 0.5]), PALM, angles, USUAL_STRETCH, 0.03)


def test_the_chain_is_the_synthetic_hand():
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    _, keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
    flexion, spreading = model.flexion_axes(heads)
    points = keypoints[0].numpy() - keypoints[0, 0].numpy()
    palm = np.linalg.norm(points[9])
    turn = canonical_rotation(points)
    assert np.allclose(points @ turn / palm, REST, atol=2e-4)
    assert np.allclose(flexion[0].numpy() @ turn, FLEXION, atol=2e-4)
    assert np.allclose(spreading[0].numpy() @ turn, SPREADING, atol=2e-4)


def test_derivatives():
    pose = _pose(1)
    _, jacobian = pose.keypoints_and_jacobian()
    steps = 1e-6 * np.eye(PARAMETERS)
    numeric = [(pose.moved(step).keypoints() - pose.moved(-step).keypoints()) / 2e-6 for step in steps]
    assert np.allclose(np.stack(numeric, axis=-1), jacobian, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_a_possible_hand_is_found_again(seed):
    truth = _pose(seed).keypoints()
    found = fit_hand(truth, CAMERA.project(truth), SURE, CAMERA, "right", PALM)
    assert np.linalg.norm(CAMERA.project(found) - CAMERA.project(truth), axis=1).max() < 6.0  # palm: about 190 px
    relative = (found - found[0]) - (truth - truth[0])
    assert np.linalg.norm(relative, axis=1).mean() < 0.006


def test_a_left_hand_is_fitted_as_its_mirror_image():
    truth = _pose(3).keypoints()
    mirrored = truth * (-1, 1, 1)
    right = fit_hand(truth, CAMERA.project(truth), SURE, CAMERA, "right", PALM)
    left = fit_hand(mirrored, CAMERA.project(mirrored), SURE, CAMERA, "left", PALM)
    assert np.allclose(left, right * (-1, 1, 1), atol=1e-6)


def test_wrong_depth_is_repaired():
    """Depth noise bends fingers backwards; pixels and joint limits correct it."""
    rng = np.random.default_rng(0)
    before, after = [], []
    for hand in posed_hands(8, 4).keypoints.numpy():
        truth = hand * PALM / np.linalg.norm(hand[9]) @ _turn(len(before)).T + (0.0, 0.0, 0.5)
        shape = truth + rng.normal(size=(21, 3)) * (0.002, 0.002, 0.014)
        pixels = CAMERA.project(truth) + rng.normal(size=(21, 2)) * 1.5
        found = fit_hand(shape, pixels, SURE, CAMERA, "right", PALM)
        for points, errors in ((shape, before), (found, after)):
            errors.append(np.linalg.norm((points - points.mean(0)) - (truth - truth.mean(0)), axis=1).mean())
    assert np.mean(after) < 0.75 * np.mean(before)


def test_joints_stay_within_their_limits():
    truth = _pose(2).keypoints()
    wild = truth + np.random.default_rng(1).normal(size=(21, 3)) * 0.02
    found = fit_hand(wild, CAMERA.project(wild), SURE, CAMERA, "right", PALM)
    # Angles of the middle and last joints from the keypoints: bones rotate about the flexion axis from rest.
    for finger in range(1, 5):
        rows = np.arange(1 + 4 * finger, 5 + 4 * finger)
        bones, rest = np.diff(found[rows], axis=0), np.diff(REST[rows], axis=0)
        bend, still = (
            np.degrees([np.arccos(b[k] @ b[k + 1] / np.linalg.norm(b[k]) / np.linalg.norm(b[k + 1])) for k in range(2)])
            for b in (bones, rest)
        )
        assert (bend <= np.degrees(ANGLE_LIMITS[finger, 1:3, 1]) + still + 9).all()
    assert np.linalg.norm(found[9] - found[0]) == pytest.approx(PALM, rel=1e-6)


def test_what_is_surely_seen_counts_more():
    truth = _pose(2).keypoints()
    pixels = CAMERA.project(truth)
    palm_px = PALM * CAMERA.fx / truth[:, 2].mean()
    pixels[8] += (0.0, 0.3 * palm_px)  # one fingertip is wrong
    spread = np.full(21, 0.05)

    def miss(place: float) -> float:
        places = np.where(np.arange(21) == 8, place, 0.05)
        trust = Trust.by_spread(places, spread, (truth - truth[0]) / PALM)
        found = fit_hand(truth, pixels, trust, CAMERA, "right", PALM)
        return float(np.linalg.norm(found[8] - truth[8]))

    assert miss(0.6) < 0.5 * miss(0.05)
    low = Trust.by_confidence(np.full(21, 0.2))
    assert (low.places > SURE.places).all() and (low.directions == SURE.directions).all()
