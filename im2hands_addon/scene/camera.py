"""The take's camera as a Blender camera, and the conversion from the camera frame to Blender's axes.

The take's camera frame has x right, y down, z forward. Blender's camera looks along its -z axis with y up. Every object
of a take is a child of one empty, the *origin*. In the frame of the origin the camera is at zero without rotation. The
rotation of the origin makes the camera look along the world's +Y with Z up.

This module is the only place of the conversion.
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
_ANIMATED = ("lens", "shift_x", "shift_y")
_AXES = np.array([1.0, -1.0, -1.0], dtype=np.float32)


def to_blender(points: np.ndarray) -> np.ndarray:
    """Convert points from the camera frame to the frame of the take's origin (x right, y up, z backward).

    The conversion is a rotation, so faces keep their orientation, and it is its own inverse.

    Parameters
    ----------
    points : (..., 3) array
        Points in the camera frame, metres.

    Returns
    -------
    (..., 3) array
        Points in the frame of the origin, metres, same dtype.
    """
    points = np.asarray(points)
    return points * _AXES.astype(points.dtype)


@dataclass(frozen=True)
class Lens:
    """The settings of a Blender camera that follow from intrinsics.

    Parameters
    ----------
    lens : float
        Focal length on a 36 mm wide sensor, millimetres.
    shift_x, shift_y : float
        Shifts of the view, in widths of the picture.
    """

    lens: float
    shift_x: float
    shift_y: float


def pixel_aspect(camera: Intrinsics) -> tuple[float, float]:
    """Return the pixel aspect of the render settings, which expresses different focal lengths in x and y.

    Parameters
    ----------
    camera : Intrinsics
        The camera.

    Returns
    -------
    tuple of float
        Aspect in x and in y; each is at least 1.
    """
    if math.isclose(camera.fx, camera.fy, rel_tol=1e-6):
        return 1.0, 1.0
    return (1.0, camera.fx / camera.fy) if camera.fx > camera.fy else (camera.fy / camera.fx, 1.0)


def lens_of(camera: Intrinsics) -> Lens:
    """Return the lens with which Blender's view matches the picture.

    Pixel centres have whole coordinates. So the picture spans -0.5 to width - 0.5, and its middle is (width - 1) / 2.

    Parameters
    ----------
    camera : Intrinsics
        Camera of the picture.

    Returns
    -------
    Lens
        Focal length and shifts.
    """
    return Lens(
        lens=camera.fx * SENSOR_WIDTH_MM / camera.width,
        shift_x=(0.5 * (camera.width - 1) - camera.cx) / camera.width,
        shift_y=(camera.cy - 0.5 * (camera.height - 1)) * (camera.fx / camera.fy) / camera.width,
    )


def build_camera(name: str, unit: float = 1.0) -> bpy.types.Object:
    """Make a camera object; :func:`set_lenses` sets its view.

    Parameters
    ----------
    name : str
        Name of the object and of its data.
    unit : float
        Length of the scene's unit, metres.

    Returns
    -------
    bpy.types.Object
        The object, in no collection.
    """
    data = bpy.data.cameras.new(name)
    data.sensor_fit = "HORIZONTAL"
    data.sensor_width = SENSOR_WIDTH_MM
    data.clip_start = 0.01 / unit
    data.clip_end = 100.0 / unit
    data.display_size = 0.1
    data.passepartout_alpha = 0.8
    return bpy.data.objects.new(name, data)


def set_lenses(data: bpy.types.Camera, frame_camera: Intrinsics, cameras: Mapping[int, Intrinsics]) -> None:
    """Replace the animation of a camera so that its view matches the picture of each frame.

    A picture of another size than the render is centred and as large as fits.

    Parameters
    ----------
    data : bpy.types.Camera
        The camera.
    frame_camera : Intrinsics
        Camera of the picture that has the size of the render.
    cameras : mapping of int to Intrinsics
        Scene frame -> camera of its picture. Keys are written only for settings that change.
    """
    # Curves of the person, such as those of the focus, stay.
    animation.remove_curves(data, lambda path: path in _ANIMATED or path.startswith("background_images["))
    size = frame_camera.width, frame_camera.height
    lenses = {frame: lens_of(camera.fitted(*size)) for frame, camera in cameras.items()}
    for name in _ANIMATED:
        setattr(data, name, getattr(lens_of(frame_camera), name))
        values = [getattr(lens, name) for lens in lenses.values()]
        if values and not np.allclose(values, getattr(data, name), rtol=1e-6, atol=1e-7):
            animation.write_curve(data, name, list(lenses), values)
