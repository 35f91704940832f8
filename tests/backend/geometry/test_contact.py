"""Hands that claim the same room: how they meet, and surfaces that meet in between."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from im2hands.core.hands import Side
from im2hands.geometry.bones import BONE_NAMES
from im2hands.geometry.contact import Contact, Surface, parted, touched_parts
from im2hands.geometry.signed_distance import ClosedMesh

RADIUS = 0.02
BALL = trimesh.creation.icosphere(4, RADIUS)


def balls(apart: float, size: float = 1.0) -> dict[Side, Surface]:
    """Two balls, the right one ``apart`` metres to the right."""
    return {
        "left": (np.array(BALL.vertices), np.array(BALL.faces)),
        "right": (BALL.vertices * size + [apart, 0.001, 0.002], np.array(BALL.faces)),
    }


def depth(surfaces: dict[Side, Surface]) -> float:
    """How deep a vertex of one surface lies in the other, metres."""
    left, right = (ClosedMesh(*surfaces[side]) for side in ("left", "right"))
    return -min(left.signed_distance(right.vertices).min(), right.signed_distance(left.vertices).min())


@pytest.mark.parametrize("deep", [0.002, 0.006, 0.012])
def test_overlapping_balls_meet_in_between(deep: float) -> None:
    surfaces = balls(2 * RADIUS - deep)
    moved, contact = parted(surfaces)
    centre = surfaces["right"][0].mean(axis=0)
    distance = float(np.linalg.norm(centre))
    lens = np.pi * (4 * RADIUS + distance) * (2 * RADIUS - distance) ** 2 / 12 * 1e6
    assert contact.penetration_ml == pytest.approx(lens, rel=0.1)
    assert contact.deepest_mm == pytest.approx((2 * RADIUS - distance) * 1e3, abs=0.15)
    assert np.linalg.norm(contact.deepest - centre / 2) < 0.6 * deep
    after = {side: (moved[side], faces) for side, (_, faces) in surfaces.items()}
    assert depth(after) < 0.0004
    flat = (moved["left"] @ centre) / distance
    assert flat.max() == pytest.approx(distance / 2, abs=0.0003)  # halfway
    for side, (vertices, _) in surfaces.items():
        away = np.linalg.norm(moved[side] - vertices, axis=1) > 0
        assert set(np.flatnonzero(away)) <= set(contact.touching[side].tolist())
        assert 0 < away.sum() < 0.5 * len(vertices)


def test_hands_apart_stay_as_they_are() -> None:
    for apart in (2 * RADIUS + 0.002, 1.0):
        surfaces = balls(apart)
        moved, contact = parted(surfaces)
        assert contact.penetration_ml == contact.deepest_mm == 0.0
        assert contact.deepest is None
        assert not any(len(rows) for rows in contact.touching.values())
        assert all((moved[side] == surfaces[side][0]).all() for side in surfaces)


def test_hands_that_touch_are_told() -> None:
    _, contact = parted(balls(2 * RADIUS + 0.0005))
    assert contact.penetration_ml == 0.0
    assert all(0 < len(rows) < 200 for rows in contact.touching.values())


def test_one_hand_in_the_other_is_found() -> None:
    coarse = trimesh.creation.icosphere(3, RADIUS)
    inner = coarse.vertices * 0.5 + [0.003, 0.001, 0.002]  # no vertex of either is near the other's surface
    surfaces: dict[Side, Surface] = {
        "left": (np.array(coarse.vertices), np.array(coarse.faces)), "right": (inner, np.array(coarse.faces))
    }  # fmt: skip
    moved, contact = parted(surfaces)
    assert contact.deepest_mm == pytest.approx(1e3 * 0.5 * RADIUS + np.linalg.norm((3, 1, 2)), rel=0.05)
    assert len(contact.touching["right"]) == len(inner)
    assert np.isfinite(moved["right"]).all()


def test_identical_hands_are_left_finite() -> None:
    surfaces = balls(0.0)
    surfaces["right"] = surfaces["left"]
    moved, contact = parted(surfaces)
    assert all(np.isfinite(vertices).all() for vertices in moved.values())
    assert np.abs(moved["left"] - surfaces["left"][0]).max() < 0.001
    assert all(len(rows) == len(BALL.vertices) for rows in contact.touching.values())


def test_one_hand_or_none_meets_nothing() -> None:
    assert parted({}) == ({}, Contact())
    alone, contact = parted({"left": balls(0.0)["left"]})
    assert list(alone) == ["left"]
    assert contact == Contact()


def test_touched_parts_are_named() -> None:
    points = np.zeros((21, 3))
    for finger in range(5):
        for k in range(4):
            points[4 * finger + 1 + k] = (finger - 2) * 0.02, 0.08 + 0.02 * k, 0.0
    assert touched_parts(points[[8]] + [0.0, 0.0, 0.01], points) == ["index_3"]
    assert touched_parts(np.array([[0.0, 0.03, 0.01], [-0.04, 0.11, 0.0]]), points) == ["palm", "thumb_2"]
    assert touched_parts(np.empty((0, 3)), points) == []
    assert set(touched_parts(1.001 * points, points)) <= set(BONE_NAMES)
