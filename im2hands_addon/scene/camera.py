"""The take's camera as a Blender camera, and the one place where the camera frame turns into Blender's.

Blender's camera looks down its -z with y up; the take's camera frame has x right, y down, z forward. Everything of
a take is a child of one empty, the *origin*, in whose frame the camera stands at zero without rotation; the
origin's own rotation lets that camera look along the world's +Y with Z up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np

from ..take.reader import Intrinsics
from . import animation

SENSOR_WIDTH_MM = 36.0
ORIGIN_ROTATION = (math.pi / 2, 0.0, 0.0)
_AXES = np.array([1.0, -1.0, -1.0], dtype=np.float32)


def to_blender(points: np.ndarray) -> np.ndarray:
    """Camera-frame points (..., 3) metres to the frame of the take's origin (x right, y up, z backward), same dtype.

    It is its own inverse, and a rotation: faces keep their orientation.
    """
    points = np.asarray(points)
    return points * _AXES.astype(points.dtype)


@dataclass(frozen=True)
class Lens:
    """What of a Blender camera follows from intrinsics: ``lens`` mm on a 36 mm sensor, shifts in picture widths."""

    lens: float
    shift_x: float
    shift_y: float


def pixel_aspect(camera: Intrinsics) -> tuple[float, float]:
    """The render settings' pixel aspect (x, y), each >= 1, that gives different focal lengths in x and y."""
    if math.isclose(camera.fx, camera.fy, rel_tol=1e-6):
        return 1.0, 1.0
    return (1.0, camera.fx / camera.fy) if camera.fx > camera.fy else (camera.fy / camera.fx, 1.0)


def lens_of(camera: Intrinsics) -> Lens:
    """The lens and shifts that lay Blender's view over the picture of ``camera``.

    A pixel's centre has whole coordinates, so the picture spans -0.5 to width - 0.5 and its middle is (width - 1) / 2.
    """
    return Lens(
        lens=camera.fx * SENSOR_WIDTH_MM / camera.width,
        shift_x=(0.5 * (camera.width - 1) - camera.cx) / camera.width,
        shift_y=(camera.cy - 0.5 * (camera.height - 1)) * (camera.fx / camera.fy) / camera.width,
    )


def build_camera(name: str) -> bpy.types.Object:
    """A camera object that is linked to nothing yet; :func:`set_lenses` gives it its view."""
    data = bpy.data.cameras.new(name)
    data.sensor_fit = "HORIZONTAL"
    data.sensor_width = SENSOR_WIDTH_MM
    data.clip_start = 0.01
    data.clip_end = 100.0
    data.display_size = 0.1
    data.passepartout_alpha = 0.8
    return bpy.data.objects.new(name, data)


def set_lenses(data: bpy.types.Camera, frame_camera: Intrinsics, cameras: Mapping[int, Intrinsics]) -> None:
    """Give the camera the view of each frame's picture, shown as large as it fits in the render frame.

    Args:
        frame_camera: intrinsics of the picture whose size the render has.
        cameras: by scene frame the intrinsics of its picture; keys are set only where they differ.
    """
    animation.clear(data)
    size = frame_camera.width, frame_camera.height
    lenses = {frame: lens_of(camera.fitted(*size)) for frame, camera in cameras.items()}
    for name in ("lens", "shift_x", "shift_y"):
        setattr(data, name, getattr(lens_of(frame_camera), name))
        values = [getattr(lens, name) for lens in lenses.values()]
        if values and not np.allclose(values, getattr(data, name), rtol=1e-6, atol=1e-7):
            animation.write_curve(data, name, list(lenses), values)


def set_render_size(scene: bpy.types.Scene, camera: Intrinsics) -> None:
    """Let ``scene`` render pictures of the size, and the pixel shape, of ``camera``."""
    scene.render.resolution_x = camera.width
    scene.render.resolution_y = camera.height
    scene.render.resolution_percentage = 100
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = pixel_aspect(camera)
