"""Overlays: meshes are projected by the camera, near hides far, and the side view rotates the meshes."""

from __future__ import annotations

import numpy as np
import trimesh

from im2hands.core.camera import Camera
from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.evaluation.measures import Mesh
from im2hands.lab.evaluation.overlay import COLOURS, draw_keypoints, draw_meshes, side_view, tile

CAMERA = Camera.from_focal(400.0, 201, 101)


def ball(x: float, z: float, radius: float = 0.02) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return Mesh(np.asarray(made.vertices) + np.array([x, 0, z]), np.asarray(made.faces))


def hue(pixel: np.ndarray) -> str:
    """The side whose colour the pixel has, in any shade."""
    direction = pixel / np.linalg.norm(pixel)
    names = {side: np.array(c) / np.linalg.norm(c) for side, c in COLOURS.items()}
    return max(names, key=lambda side: float(direction @ names[side]))


def test_meshes_lie_where_the_camera_sees_them() -> None:
    image = np.zeros((101, 201, 3), np.uint8)
    drawn = draw_meshes(image, {"left": ball(-0.05, 0.4), "right": ball(0.05, 0.4)}, CAMERA, 1.0)
    covered = drawn.any(axis=2)
    for x in (50, 150):  # 400 px * 0.05 m / 0.4 m from the middle
        assert covered[50, x] and covered[50, x + 17] and not covered[50, x + 24]
    assert hue(drawn[50, 50]) == "left" and hue(drawn[50, 150]) == "right"
    assert not covered[50, 100]


def test_the_nearer_hand_hides_the_other() -> None:
    image = np.zeros((101, 201, 3), np.uint8)
    for left, right, seen in ((0.4, 0.6, "left"), (0.6, 0.4, "right")):
        drawn = draw_meshes(image, {"left": ball(0.0, left), "right": ball(0.0, right)}, CAMERA, 1.0)
        assert hue(drawn[50, 100]) == seen


def test_from_the_side_depth_goes_across() -> None:
    view = side_view({"left": ball(0.0, 0.4), "right": ball(0.0, 0.5)}, 200)
    columns = {
        side: np.argwhere([[hue(p) == side for p in row] for row in view[95:105].astype(float)])[:, 1]
        for side in ("left", "right")
    }
    coloured = np.ptp(view.astype(int), axis=2) > 60
    middle = np.argwhere(coloured[100])[:, 0]
    assert middle[0] < 40 and middle[-1] > 160 and not coloured[100, 100]
    assert len(columns["left"]) and len(columns["right"])


def test_keypoints_and_tiles() -> None:
    image = np.zeros((101, 201, 3), np.uint8)
    positions = np.column_stack([np.linspace(-0.05, 0.05, 21), np.zeros(21), np.full(21, 0.4)])
    hand = HandKeypoints("left", positions, CAMERA.project(positions), np.ones(21), 1.0, "test")
    drawn = draw_keypoints(image, TwoHands(left=hand), CAMERA)
    assert drawn[50, 50:150].any(axis=1).all() and not drawn[20].any()
    assert tile([image, np.zeros((202, 101, 3), np.uint8)], 50).shape == (50, 100 + 25, 3)
