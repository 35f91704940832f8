"""Brings the hands of a take to the middle of a 3D view: in the view of the take's camera, or in a free view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector

from . import animation, tree
from .camera import SENSOR_WIDTH_MM

_MARGIN = 1.6  # room around the hands, in sizes of the box around their keypoints; flesh lies outside the keypoints
_WHOLE = 0.94  # part of the region that the whole picture fills
_LEAST_FACTOR, _MOST_FACTOR = 0.25, 6.0  # of the camera's zoom
_NEAREST_M = 0.15  # shortest distance from which a free view looks at the hands


@dataclass(frozen=True)
class Hands:
    """The keypoints of a take over all its frames.

    Parameters
    ----------
    points : (N, 3) array
        Keypoints in the frame of the take's origin, metres; N may be 0.
    """

    points: np.ndarray

    @classmethod
    def of(cls, collection: bpy.types.Collection) -> Hands:
        """Read the keyed positions of the keypoints."""
        place = tree.child(collection, tree.KEYPOINTS)
        found = [np.zeros((0, 3))]
        for thing in place.objects if place is not None else ():
            if "im2hands_keypoint" not in thing:
                continue
            tracks = {
                one.array_index: animation.read_values(one)[1]
                for one in animation.curves(thing)
                if one.data_path == "location"
            }
            if len(tracks) == 3 and len({len(values) for values in tracks.values()}) == 1:
                found.append(np.stack([tracks[axis] for axis in range(3)], axis=-1).astype(float))
        return cls(np.concatenate(found))

    @property
    def depth(self) -> float:
        """Distance along the camera's axis to the farthest keypoint, metres; 0 without hands."""
        return float(-self.points[:, 2].min()) if len(self.points) else 0.0

    def in_picture(self, data: bpy.types.Camera) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the box around the hands in the picture of the take's camera.

        Parameters
        ----------
        data : bpy.types.Camera
            The take's camera, as it is on the current frame.

        Returns
        -------
        tuple of (2,) arrays, or None
            Lower left and upper right corner, from the centre of the picture, in widths of the picture. None without
            hands in front of the camera.
        """
        ahead = self.points[self.points[:, 2] < 0]
        if not len(ahead):
            return None
        seen = ahead[:, :2] / -ahead[:, 2:] * data.lens / SENSOR_WIDTH_MM - (data.shift_x, data.shift_y)
        return seen.min(axis=0), seen.max(axis=0)


def show_whole_picture(space: bpy.types.SpaceView3D, area: bpy.types.Area, aspect: float) -> None:
    """Fit the whole picture of the camera into a view that looks through it.

    Parameters
    ----------
    space : bpy.types.SpaceView3D
        The view.
    area : bpy.types.Area
        Its area, for the size.
    aspect : float
        Height of the picture divided by its width.
    """
    _zoom(space, area, np.zeros(2), np.array([1.0, aspect]) / _WHOLE)


def show_hands_in_picture(
    space: bpy.types.SpaceView3D, area: bpy.types.Area, data: bpy.types.Camera, hands: Hands, aspect: float
) -> bool:
    """Zoom a view that looks through the take's camera to the hands; the camera stays as it is.

    Parameters
    ----------
    space : bpy.types.SpaceView3D
        The view.
    area : bpy.types.Area
        Its area, for the size.
    data : bpy.types.Camera
        The take's camera.
    hands : Hands
        The hands.
    aspect : float
        Height of the picture divided by its width.

    Returns
    -------
    bool
        Whether there are hands to show.
    """
    box = hands.in_picture(data)
    if box is None:
        return False
    half = np.array([0.5, 0.5 * aspect])  # beyond the picture, nothing is to be seen
    low, high = (np.clip(corner, -half, half) for corner in box)
    size = np.minimum((high - low) * _MARGIN, 2 * half / _WHOLE)
    _zoom(space, area, (low + high) / 2, size)
    return True


def show_hands_freely(space: bpy.types.SpaceView3D, collection: bpy.types.Collection, hands: Hands) -> bool:
    """Turn a free view to the hands: it orbits about their middle, and its direction stays.

    Parameters
    ----------
    space : bpy.types.SpaceView3D
        The view.
    collection : bpy.types.Collection
        The take's collection.
    hands : Hands
        The hands.

    Returns
    -------
    bool
        Whether there are hands to show.
    """
    origin = tree.find_object(collection, "origin")
    if origin is None or not len(hands.points):
        return False
    corners = [hands.points.min(axis=0), hands.points.max(axis=0)]
    low, high = (np.array(origin.matrix_world @ Vector(corner)) for corner in corners)
    size = float(np.linalg.norm(high - low)) * _MARGIN
    scale = max(origin.matrix_world.to_scale())
    view = space.region_3d
    view.view_location = Vector((low + high) / 2)
    # In Blender's view a distance of 1 shows a width of 36 mm / lens (the sensor is fixed), twice that on 50 mm.
    view.view_distance = max(_NEAREST_M * scale, size * space.lens / (2 * SENSOR_WIDTH_MM))
    return True


def _zoom(space: bpy.types.SpaceView3D, area: bpy.types.Area, centre: np.ndarray, size: np.ndarray) -> None:
    """Fill the free room of a view with a part of the picture.

    Blender draws the picture factor * width of the region wide (the take's camera has a horizontal fit), with
    factor = (sqrt(2) + zoom / 50)^2 / 4; an offset of 0.5 moves it by the factor times the region.

    Parameters
    ----------
    space : bpy.types.SpaceView3D
        The view.
    area : bpy.types.Area
        Its area.
    centre, size : (2,) array
        The part, in widths of the picture.
    """
    across, up, left, right = _room(area)
    factor = min((right - left) / across / size[0], up / across / size[1])
    factor = min(_MOST_FACTOR, max(_LEAST_FACTOR, factor))
    view = space.region_3d
    view.view_camera_zoom = 50 * (2 * math.sqrt(factor) - math.sqrt(2))
    aside = (across - left - right) / 2 / (2 * across * factor)  # the middle of the free room is not the region's
    view.view_camera_offset = (centre[0] / 2 + aside, centre[1] / 2 * across / up)


def _room(area: bpy.types.Area) -> tuple[int, int, int, int]:
    """Width and height of the view's region, and the left and right end of its part beside toolbar and sidebar."""
    window = next(one for one in area.regions if one.type == "WINDOW")
    across, up = max(1, window.width), max(1, window.height)
    left, right = 0, across
    for one in area.regions:
        is_over = one.width > 1 and window.x <= one.x < window.x + across
        if one.type == "TOOLS" and is_over:
            left = max(left, one.x + one.width - window.x)
        elif one.type == "UI" and is_over:
            right = min(right, one.x - window.x)
    return (across, up, left, right) if right - left > across / 4 else (across, up, 0, across)
