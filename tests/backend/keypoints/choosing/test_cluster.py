"""Readings that show one hand are one group."""

from __future__ import annotations

import numpy as np
from hand_pictures import seen_hand

from im2hands.keypoints.choosing.cluster import clusters


def at(x: float, y: float = 200.0, palm_px: float = 40.0) -> np.ndarray:
    return seen_hand("left", (x, y), palm_px).pixels


def test_near_readings_are_grouped_around_the_surest_one() -> None:
    pixels = np.array([at(100), at(104), at(300), at(96), at(303)])
    groups = clusters(pixels, np.array([0.5, 0.9, 0.6, 0.7, 0.8]), 0.25)
    assert [group.tolist() for group in groups] == [[1, 3, 0], [4, 2]]


def test_every_reading_is_in_one_group() -> None:
    rng = np.random.default_rng(0)
    pixels = np.array([at(*rng.uniform(0, 200, 2), palm_px=rng.uniform(20, 60)) for _ in range(60)])
    certainty = rng.uniform(size=60)
    groups = clusters(pixels, certainty, 0.5)
    assert sorted(np.concatenate(groups).tolist()) == list(range(60))
    for group in groups:
        assert (np.diff(certainty[group]) <= 0).all()
    firsts = [group[0] for group in groups]
    assert (np.diff(certainty[firsts]) <= 0).all()


def test_the_radius_grows_with_the_hand() -> None:
    for palm, together in ((20.0, 2), (80.0, 1)):
        pixels = np.array([at(100, palm_px=palm), at(112, palm_px=palm)])
        assert len(clusters(pixels, np.array([0.9, 0.8]), 0.25)) == together


def test_nothing_and_equal_readings() -> None:
    assert clusters(np.zeros((0, 21, 2)), np.zeros(0), 0.25) == []
    assert [group.tolist() for group in clusters(np.array([at(100)] * 3), np.ones(3), 0.25)] == [[0, 1, 2]]
    collapsed = np.zeros((2, 21, 2))  # keypoints on one point have no size
    assert [group.tolist() for group in clusters(collapsed, np.ones(2), 0.25)] == [[0, 1]]
