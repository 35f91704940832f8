"""Farthest point sampling, with and without the published guard, and nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden import load
from im2hands.networks.farthest_points import PUBLISHED_GUARD, farthest_points, nearest_neighbours, take

SIDES = ("left", "right")


def by_hand(points: np.ndarray, count: int, guard: float | None) -> list[int]:
    """Farthest point sampling as the published kernel does it, point by point."""
    points = points.astype(np.float32)
    squared = (points * points).sum(-1)
    nearest = np.full(len(points), 1e10, np.float32)
    picked = [0]
    while len(picked) < count:
        best, best_distance = 0, -1.0
        for i, point in enumerate(points):
            if guard is not None and squared[i] <= guard:
                continue
            gap = point - points[picked[-1]]
            nearest[i] = min(nearest[i], np.float32(gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]))
            if nearest[i] > best_distance:
                best, best_distance = i, nearest[i]
        picked.append(best)
    return picked


@pytest.mark.parametrize("guard", [None, PUBLISHED_GUARD])
def test_agrees_with_the_definition(guard):
    points = np.random.default_rng(0).normal(0, 0.04, (3, 90, 3)).astype(np.float32)
    picked = farthest_points(torch.from_numpy(points), 40, guard=guard)
    assert [row.tolist() for row in picked] == [by_hand(cloud, 40, guard) for cloud in points]


@pytest.mark.parity
@pytest.mark.parametrize("side", SIDES)
def test_published_indices(side):
    golden = load("ref_occ")
    points = torch.from_numpy(golden[f"{side}_anchor_xyz_centred"])[None]
    first = farthest_points(points, 256, guard=PUBLISHED_GUARD)
    second = farthest_points(take(points, first), 128, guard=PUBLISHED_GUARD)
    assert np.array_equal(first[0], golden[f"{side}_fps256"])
    assert np.array_equal(second[0], golden[f"{side}_fps128"])


def test_the_guard_leaves_points_near_the_origin_out_but_for_the_first():
    points = torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(0)) * 0.03
    points[0, 0] = 0.0
    picked = farthest_points(points, 50, guard=PUBLISHED_GUARD)[0]
    near = points[0].square().sum(-1) <= PUBLISHED_GUARD
    assert near.sum() > 50 and picked[0] == 0 and not near[picked[1:]].any()
    assert near[farthest_points(points, 190)[0, 1:]].any()


def test_nothing_to_pick_gives_the_first_point():
    assert farthest_points(torch.full((1, 5, 3), 1e-3), 3, guard=PUBLISHED_GUARD).tolist() == [[0, 0, 0]]


def test_all_points_are_picked_once_and_ties_go_to_the_first():
    square = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]])
    assert farthest_points(square, 4).tolist() == [[0, 3, 1, 2]]


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match="cannot pick 6"):
        farthest_points(torch.zeros(1, 5, 3), 6)


def test_neighbours_are_the_nearest():
    generator = torch.Generator().manual_seed(1)
    centres, points = torch.randn(2, 7, 3, generator=generator), torch.randn(2, 30, 3, generator=generator)
    found = nearest_neighbours(centres, points, 5).sort(-1).values
    expected = torch.cdist(centres, points).argsort(-1)[..., :5].sort(-1).values
    assert torch.equal(found, expected)
    assert torch.equal(take(points, found)[1, 3, 2], points[1, found[1, 3, 2]])
