"""IoU and Hausdorff distance of meshes, on shapes with known results."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from im2hands.lab.bench.surface_agreement import agreement

BALL = trimesh.creation.icosphere(subdivisions=4, radius=0.05)


def _with(vertices: np.ndarray):
    return agreement(np.asarray(BALL.vertices), np.asarray(BALL.faces), vertices, np.asarray(BALL.faces))


def test_the_same_surface() -> None:
    assert _with(np.asarray(BALL.vertices)) == pytest.approx((1.0, 0.0), abs=1e-6)


def test_a_slightly_larger_ball() -> None:
    found = _with(BALL.vertices * 1.01)
    assert found.iou == pytest.approx(1 / 1.01**3, rel=1e-3)
    assert found.hausdorff == pytest.approx(0.0005, rel=0.01)


def test_a_moved_ball() -> None:
    shift = 0.001
    found = _with(BALL.vertices + np.array([shift, 0, 0]))
    between = np.pi * 0.05**2 * shift  # volume inside one ball and outside the other, to first order
    volume = 4 / 3 * np.pi * 0.05**3
    assert found.iou == pytest.approx((volume - between) / (volume + between), rel=2e-3)
    assert found.hausdorff == pytest.approx(shift, rel=0.01)


def test_one_bump_counts() -> None:
    vertices = BALL.vertices.copy()
    vertices[7] *= 1.06
    found = _with(vertices)
    assert found.hausdorff == pytest.approx(0.003, rel=0.05) and found.iou > 0.999
