"""Tests of the labelled points around single hands: signs, spread, the cut of the forearm, jittered keypoints."""

from __future__ import annotations

import torch

from im2hands.lab.datasets.part_occupancy import STUMP, cut_distance, jitter_keypoints, make_points, posed_hands


def test_points_lie_on_both_sides_and_near_the_surface():
    data = make_points(4, 3000, 7)
    inside = (data.distance < 0).float().mean()
    assert 0.15 < inside < 0.6
    assert (data.distance[:, :1000].abs() < 0.006).all()  # the first third lies close to the surface
    assert data.keypoints[:, 0].abs().max() < 1e-9  # in the canonical frame the wrist is the origin


def test_the_cut_takes_the_forearm_away():
    distance, x = torch.tensor([-0.005, -0.005, 0.002]), torch.tensor([STUMP + 0.003, -0.05, 0.0])
    assert torch.allclose(cut_distance(distance, x), torch.tensor([0.003, -0.005, 0.002]))


def test_the_same_seed_gives_the_same_points():
    one, two = make_points(2, 90, 3), make_points(2, 90, 3)
    assert torch.equal(one.points, two.points) and torch.equal(one.distance, two.distance)


def test_jitter_is_as_strong_as_stated():
    keypoints = posed_hands(400, 11).keypoints
    generator = torch.Generator().manual_seed(0)
    noise_only = jitter_keypoints(keypoints, generator, noise=0.004, definition=0.0) - keypoints
    per_hand = noise_only.flatten(1).std(dim=1)
    assert float(per_hand.max()) < 0.0055 and 0.1 < float((per_hand == 0).float().mean()) < 0.4
    moved = jitter_keypoints(keypoints, generator, noise=0.0, definition=1.0) - keypoints
    still = moved.flatten(1).abs().max(dim=1).values == 0
    assert 0.35 < float(still.float().mean()) < 0.65
    assert 0.001 < float(moved[~still].norm(dim=-1).mean()) < 0.01
