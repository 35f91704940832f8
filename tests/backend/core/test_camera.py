"""The pinhole camera: projection and its inverse, scaling, frames, and intrinsics that are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from im2hands.core.camera import LARGEST_PIXELS, LARGEST_SIDE, Camera
from im2hands.core.errors import InputError
from im2hands.take.arrays import LIMITS

CAMERA = Camera(1200.0, 1190.5, 950.0, 545.0, 1920, 1080)


def test_unproject_inverts_project() -> None:
    points = np.random.default_rng(3).uniform((-0.3, -0.3, 0.2), (0.3, 0.3, 1.0), (4, 21, 3))
    pixels = CAMERA.project(points)
    assert pixels.shape == (4, 21, 2)
    np.testing.assert_allclose(CAMERA.unproject(pixels, points[..., 2]), points, atol=1e-12)
    homogeneous = points @ CAMERA.matrix.T
    np.testing.assert_allclose(homogeneous[..., :2] / homogeneous[..., 2:], pixels)


def test_resized_cameras_see_the_same_places_of_the_picture() -> None:
    point = np.array([0.1, -0.05, 0.6])
    half = CAMERA.resized(960, 540)
    # The outer edge of the first pixel is at -0.5, whatever the size.
    np.testing.assert_allclose((half.project(point) + 0.5) * 2, CAMERA.project(point) + 0.5)


def test_field_of_view_spans_the_longer_side() -> None:
    camera = Camera.from_fov(90.0, 400, 800)
    assert camera.fx == camera.fy == pytest.approx(400.0)
    assert (camera.cx, camera.cy) == (199.5, 399.5)
    with pytest.raises(InputError, match="field of view of 171"):
        Camera.from_fov(171.0, 400, 800)


def test_world_to_camera() -> None:
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    camera = Camera(1.0, 1.0, 0.0, 0.0, 64, 64, rotation=turn, translation=np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(camera.world_to_camera(np.array([[1.0, 2.0, 3.0]])), [[-2.0, 1.0, 5.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": 0.0}, "fx is 0.0"),
        ({"height": -1}, "height is -1"),
        ({"cx": float("nan")}, "cx is nan"),
        ({"rotation": np.diag([1.0, 1.0, -1.0])}, "R is not a rotation"),
        ({"translation": np.zeros(2)}, "t must be 3"),
    ],
)
def test_impossible_cameras(change: dict[str, object], message: str) -> None:
    given = {"fx": 9.0, "fy": 9.0, "cx": 3.5, "cy": 3.5, "width": 8, "height": 8, **change}
    with pytest.raises(InputError, match=message):
        Camera(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fx", 1e12), ("fy", 2.0**1000), ("cx", -1e10), ("cy", np.inf), ("cx", np.nan), ("width", 70_000),
        ("height", 2**62),
    ],
)  # fmt: skip
def test_numbers_that_no_take_can_hold(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is"):
        replace(CAMERA, **{name: value})  # type: ignore[arg-type]


def test_the_limits_are_those_of_a_take() -> None:
    assert (LIMITS["pixels"], LIMITS["picture_side"]) == (LARGEST_PIXELS, LARGEST_SIDE)
