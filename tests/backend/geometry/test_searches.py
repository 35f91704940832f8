"""Searches in space: those of a graphics card find what the trees of the processor find."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch

from im2hands.geometry import device_searches
from im2hands.geometry.device_searches import DeviceSearches
from im2hands.geometry.searches import Searches, searches_on
from pretended_device import pretended_device

RADIUS = 0.004


def shell(count: int, radius: float) -> np.ndarray:
    away = np.random.default_rng(count).normal(size=(count, 3))
    found: np.ndarray = [0.1, 0, 0.5] + radius * away / np.linalg.norm(away, axis=1, keepdims=True)
    return found


def pairs_of(rows: np.ndarray) -> list[list[int]]:
    return sorted(np.sort(rows, axis=1).tolist())


@pytest.mark.parametrize("name", ["cuda:0", "mps:0"])
@pytest.mark.parametrize("count", [1, 40, 300])
def test_a_card_finds_what_the_processor_finds(name: str, count: int) -> None:
    points, asked = shell(count, 0.05), shell(count + 30, 0.06)
    corners = shell(count, 0.03)[:, None] + 0.002 * np.random.default_rng(3).normal(size=(count, 3, 3))
    corners[0] *= 1.2  # one is large
    here, few = Searches(), min(6, count)
    with pretended_device(name) as device:
        there = searches_on(name)
        assert isinstance(there, DeviceSearches)
        nearest, pairs, over = there.nearest(points), there.pairs(points, RADIUS), there.overlapping(corners)
        found = {k: nearest(asked, k) for k in (1, few)}
    assert device.kernels.total() > 50
    for k, rows in found.items():
        expected = here.nearest(points)(asked, k)
        away = [np.linalg.norm(points[some] - asked[:, None], axis=2) for some in (rows, expected)]
        np.testing.assert_allclose(*away, atol=1e-7)
    assert pairs_of(pairs) == pairs_of(here.pairs(points, RADIUS)) and (len(pairs) > 10) == (count == 300)
    assert pairs_of(over) == pairs_of(here.overlapping(corners))


def test_far_points_are_found_in_few_steps() -> None:
    points, asked = shell(300, 0.05), shell(100, 2.0)
    with pretended_device("cuda:0") as device:
        found = searches_on("cuda:0").nearest(points)(asked, 1)
    assert device.waits.total() <= 5
    np.testing.assert_array_equal(found, Searches().nearest(points)(asked, 1))


def test_where_a_cards_memory_does_not_suffice_the_processor_searches() -> None:
    points = shell(90, 0.05)
    there = DeviceSearches(torch.device("cpu"))
    nearest = there.nearest(points)
    with patch.object(device_searches, "_gaps", side_effect=torch.cuda.OutOfMemoryError("CUDA out of memory.")):
        np.testing.assert_array_equal(nearest(points, 1)[:, 0], np.arange(90))
        assert pairs_of(there.pairs(points, RADIUS)) == pairs_of(Searches().pairs(points, RADIUS))
        assert there.overlapping(points[:, None] + np.zeros((90, 3, 3))).shape == (0, 2)
    with patch.object(DeviceSearches, "_sent", side_effect=torch.cuda.OutOfMemoryError("CUDA out of memory.")):
        np.testing.assert_array_equal(there.nearest(points)(points, 1)[:, 0], np.arange(90))
    stopped = RuntimeError("CUDA error: unspecified launch failure")
    with patch.object(device_searches, "_gaps", side_effect=stopped), pytest.raises(RuntimeError, match="launch"):
        there.pairs(points, RADIUS)


def test_nothing_has_no_pairs() -> None:
    for searches in (Searches(), DeviceSearches(torch.device("cpu"))):
        assert searches.pairs(np.zeros((0, 3)), 1.0).shape == (0, 2)
        assert searches.overlapping(np.zeros((0, 3, 3))).shape == (0, 2)
