"""The footage as background images of the take's camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy

from ..take.reader import Intrinsics
from . import animation, visibility
from .shots import Part, Shot


def clear(data: bpy.types.Camera, kept: Sequence[bpy.types.Image] = ()) -> None:
    """Remove the background images of a camera, and delete the pictures that have no other user, but those kept."""
    images = {background.image for background in data.background_images if background.image is not None}
    for background in data.background_images:
        background.image = None  # otherwise Blender would keep counting this user
    data.background_images.clear()
    bpy.data.batch_remove([image for image in images if image.users == 0 and image not in kept])


def write_background(data: bpy.types.Camera, shots: Sequence[Shot], view: Intrinsics) -> None:
    """Show the footage behind the hands in the view of a camera.

    Call ``camera.set_lenses`` first: this function adds curves to the camera's animation, and that one replaces it.

    Parameters
    ----------
    data : bpy.types.Camera
        The take's camera.
    shots : sequence of Shot
        The footage.
    view : Intrinsics
        Camera of the picture that has the size of the render.
    """
    for number, (image, part) in enumerate(shots):
        background = data.background_images.new()
        background.source = "IMAGE"
        background.image = image
        same_size = (part.picture.width, part.picture.height) == (view.width, view.height)
        background.frame_method = "STRETCH" if same_size else "FIT"
        background.display_depth = "BACK"
        background.alpha = 1.0
        background.show_expanded = False
        part.set_span(background.image_user)
        _turn(background, part, view)
        if part.only_on is not None:
            frames, hidden = visibility.visible_range(*part.only_on)
            shown = [not value for value in hidden]
            animation.write_curve(data, f"background_images[{number}].show_background_image", frames, shown)


def _turn(background: bpy.types.CameraBackgroundImage, part: Part, view: Intrinsics) -> None:
    """Turn a stored picture upright. Blender fits it into the frame, then mirrors it, then rotates it."""
    background.use_flip_x = part.turn.mirror
    background.rotation = part.turn.quarters * math.pi / 2
    if part.turn.quarters % 2:
        background.frame_method = "FIT"
        picture = part.picture
        fitted_lying = min(view.width / picture.height, view.height / picture.width)
        fitted_upright = min(view.width / picture.width, view.height / picture.height)
        background.scale = fitted_upright / fitted_lying
