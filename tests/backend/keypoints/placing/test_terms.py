"""The kinematic hand and the terms of its placing: proportions, derivatives, spheres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from chain_hands import random_hands

from im2hands.geometry.hand_model import FINGER_BONES, HandModel
from im2hands.keypoints.placing import terms
from im2hands.keypoints.placing.chain import KEYPOINTS, Chain, Hands
from im2hands.keypoints.placing.kinematics import (
    FLEXION,
    PARAMETERS,
    POSE,
    REST,
    SIZE,
    SPREADING,
    THICKNESS,
    canonical_rotation,
)
from im2hands.keypoints.placing.spheres import RADII, SPHERES
from im2hands.keypoints.placing.terms import ENDS, STARTS, Between, Evidence, of_each_hand, of_pairs, overlaps
from im2hands.lab.synthesis.hand_spheres import fit_spheres
from im2hands.lab.synthesis.poses import mean_shape

STEP = 1e-6


def _rest_hand() -> tuple[np.ndarray, np.ndarray, float]:
    """The wrist, the axes of the canonical frame as columns, and the palm length of the bundled hand at rest."""
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))[1][0].numpy()
    points = keypoints - keypoints[0]
    return keypoints[0], canonical_rotation(points), float(np.linalg.norm(points[9]))


def test_the_chain_is_the_synthetic_hand() -> None:
    model = HandModel()
    vertices, heads = model.rest(mean_shape(1))
    _, keypoints = model.pose(vertices, heads, torch.eye(3, dtype=torch.float64).repeat(1, 22, 1, 1))
    flexion, spreading = model.flexion_axes(heads)
    wrist, turn, palm = _rest_hand()
    assert np.allclose((keypoints[0].numpy() - wrist) @ turn / palm, REST, atol=2e-4)
    assert np.allclose(flexion[0].numpy() @ turn, FLEXION, atol=2e-4)
    assert np.allclose(spreading[0].numpy() @ turn, SPREADING, atol=2e-4)


def test_the_spheres_are_those_of_the_synthetic_hand() -> None:
    model = HandModel()
    spheres = fit_spheres(model)
    centres, radii = spheres.rest(model.rest(mean_shape(1))[0])
    wrist, turn, palm = _rest_hand()
    bone_of = {bone: 1 + 3 * f + k for f, bones in enumerate(FINGER_BONES) for k, bone in enumerate(bones)}
    theirs = np.array([bone_of.get(int(bone), 0) for bone in spheres.bone])
    kept = np.isin(spheres.bone.numpy(), (0, 1), invert=True)  # without the forearm
    order = np.argsort(theirs[kept], kind="stable")
    assert np.array_equal(SPHERES.bone, theirs[kept][order])
    rest = Hands(np.eye(3)[None], np.zeros((1, 3)), np.zeros((1, 5, 4)), np.ones(1), np.zeros((1, 18)))
    assert np.allclose(
        Chain(rest).points(SPHERES)[0], (centres[0].numpy()[kept][order] - wrist) @ turn / palm, atol=2e-3
    )
    assert np.allclose(RADII, radii[0].numpy()[kept][order] / palm, atol=2e-3)


@pytest.mark.parametrize("points", [KEYPOINTS, SPHERES])
def test_derivatives_of_points(points) -> None:
    hands = random_hands([1, 2, 3])
    _, jacobian = Chain(hands).points_and_jacobian(points)

    def places(step: np.ndarray) -> np.ndarray:
        moved = hands.moved(np.tile(step, (3, 1)))
        return Chain(moved).points(points) + moved.translation[:, None]

    steps = STEP * np.eye(PARAMETERS)
    numeric = np.stack([(places(step) - places(-step)) / (2 * STEP) for step in steps], axis=-1)
    assert np.allclose(numeric, jacobian, atol=1e-5)


def _clasped() -> tuple[Hands, Evidence, Between]:
    """Two pairs of hands that lie in each other, seen inexactly."""
    rng = np.random.default_rng(5)
    hands = random_hands([1, 2, 3, 4])
    hands.angles[0, 2, 1] = 2.5  # beyond its limit
    mirror = np.tile([(-1.0, 1.0, 1.0), (1.0, 1.0, 1.0)], (2, 1))
    middles = hands.keypoints().mean(axis=1) * mirror
    hands.translation[1::2] += (np.array([0.03, 0.02, 0.0]) + middles[0::2] - middles[1::2]) * mirror[1::2]
    points = hands.keypoints()
    bones = points[:, ENDS] - points[:, STARTS] + rng.normal(0, 0.01, (4, 20, 3))
    seen = Evidence(
        mirror,
        points[..., :2] / points[..., 2:] + rng.normal(0, 0.02, (4, 21, 2)),
        rng.uniform(0.002, 0.02, (4, 21)),
        bones / np.linalg.norm(bones, axis=-1, keepdims=True),
        rng.uniform(0.1, 1.0, (4, 20)),
        rng.normal(0, 0.1, 4),
        np.array([0.0, 0.004, 0.02, 0.1]),
    )
    return hands, seen, Between(np.array([(0.1, -0.05), (0.02, 0.0)]), np.array([(0.03, np.inf), (0.05, 0.02)]))


def test_the_gradient_is_that_of_the_cost() -> None:
    hands, seen, between = _clasped()
    assert ((overlaps(hands, seen.mirror) > 0).sum(axis=(1, 2)) > 20).all()
    sums = of_pairs(hands, seen, between)
    numeric = np.empty((2, 2 * PARAMETERS))
    for column in range(2 * PARAMETERS):
        step = np.zeros((4, PARAMETERS))
        step[column // PARAMETERS :: 2, column % PARAMETERS] = STEP
        costs = [of_pairs(hands.moved(sign * step), seen, between).cost for sign in (1, -1)]
        numeric[:, column] = (costs[0] - costs[1]) / (2 * STEP)
    assert np.allclose(sums.gradient, numeric, rtol=1e-4, atol=1e-3 * np.abs(numeric).max())
    assert np.allclose(sums.normal, sums.normal.swapaxes(1, 2))
    assert (np.linalg.eigvalsh(sums.normal) > 0).all()


def test_the_gradient_is_that_of_the_cost_where_places_are_shifted_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hands, seen, _ = _clasped()
    few = of_each_hand(hands, seen, shifted=True)
    monkeypatch.setattr(terms, "_SHIFTS", 60)
    sums, plain = of_each_hand(hands, seen, shifted=True), of_each_hand(hands, seen)
    numeric = np.empty((4, PARAMETERS))
    for column, step in enumerate(STEP * np.eye(PARAMETERS)):
        costs = [of_each_hand(hands.moved(np.tile(sign * step, (4, 1))), seen, shifted=True).cost for sign in (1, -1)]
        numeric[:, column] = (costs[0] - costs[1]) / (2 * STEP)
    assert np.allclose(sums.gradient, numeric, rtol=1e-4, atol=1e-3 * np.abs(numeric).max())
    assert (np.linalg.eigvalsh(sums.normal) > 0).all()
    np.testing.assert_allclose(few.cost, sums.cost, rtol=1e-3)
    assert sums.cost[0] == pytest.approx(plain.cost[0], rel=1e-12) and (sums.cost[1:] < plain.cost[1:]).all()
    moved = replace(seen, rays=seen.rays + np.array([0.02, -0.01]))  # all alike
    rise = of_each_hand(hands, moved, shifted=True).cost - sums.cost
    assert rise[3] < 0.2 * (of_each_hand(hands, moved).cost - plain.cost)[3]


def test_spheres_grow_with_the_hand() -> None:
    hands, seen, _ = _clasped()
    usual = overlaps(hands, seen.mirror)
    for parameter in (SIZE, THICKNESS):
        larger = hands.moved(np.eye(PARAMETERS)[POSE + parameter] * 0.05 * np.ones((4, 1)))
        assert overlaps(larger, seen.mirror).max() > usual.max()
