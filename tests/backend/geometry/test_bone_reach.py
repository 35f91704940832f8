"""BoneReach: points inside a hand are within reach of their bone; distances to segments are right."""

from __future__ import annotations

import numpy as np
import torch

from im2hands.geometry.bone_reach import BoneReach, HandsReach, Segments, segment_ends
from im2hands.lab.datasets.part_occupancy import STUMP, make_points


def test_distances_to_segments_are_those_of_the_nearest_point():
    torch.manual_seed(0)
    points, starts, ends = torch.randn(2, 50, 3), torch.randn(2, 7, 3), torch.randn(2, 7, 3)
    steps = torch.linspace(0, 1, 4001)[:, None]
    found = Segments(starts.double(), ends.double()).squared_distance(points.double())
    for hand in range(2):
        for segment in range(7):
            line = starts[hand, segment] + steps * (ends[hand, segment] - starts[hand, segment])
            nearest = torch.cdist(points[hand], line).min(dim=1).values
            assert torch.allclose(found[hand, :, segment].sqrt().float(), nearest, atol=2e-3)


def test_no_part_of_a_hand_is_out_of_reach():
    data = make_points(24, 3000, 31)
    near = HandsReach(data.keypoints, BoneReach.default()).near(data.points.double())
    inside = (data.distance < 0) & (data.points[..., 0] < STUMP)
    own = near.gather(-1, data.part.long()[..., None])[..., 0]
    assert inside.sum() > 10_000
    assert near.any(-1)[inside].float().mean() > 0.9995
    assert own[inside].float().mean() > 0.998
    assert near.float().sum(-1).mean() < 3.0  # the purpose: few of the sixteen bones at each point


def test_nothing_is_within_reach_behind_the_cut():
    data = make_points(2, 900, 32)
    points = data.points.double().clone()
    points[..., 0] = points[..., 0].abs() + STUMP
    assert not HandsReach(data.keypoints, BoneReach.default()).near(points).any()


def test_the_stump_begins_behind_the_wrist():
    data = make_points(1, 30, 33)
    starts, _ = segment_ends(data.keypoints, 0.02)
    assert np.allclose(starts[0, 2].numpy(), (0.02, 0, 0), atol=1e-9)  # the middle metacarpal lies along canonical -x
