"""The footage as background images of the take's camera: what is seen through it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy

from ..take.reader import Intrinsics
from . import animation
from .shots import Shot


def clear(data: bpy.types.Camera) -> None:
    """Take the background images away, and the pictures that nothing else uses."""
    images = {background.image for background in data.background_images if background.image is not None}
    for background in data.background_images:
        background.image = None  # clearing alone would leave its use counted
    data.background_images.clear()
    bpy.data.batch_remove([image for image in images if image.users == 0])


def write_background(data: bpy.types.Camera, shots: Sequence[Shot], view: Intrinsics, step: int) -> None:
    """Show the shots behind the hands.

    The camera's animation must have been written before (:func:`.camera.set_lenses`): curves are added to it.

    Args:
        view: intrinsics of the picture whose size the render has. step: how many frames one photo of several is held.
    """
    for number, shot in enumerate(shots):
        background = data.background_images.new()
        background.source = "IMAGE"
        background.image = shot.image
        same_size = (shot.picture.width, shot.picture.height) == (view.width, view.height)
        background.frame_method = "STRETCH" if same_size else "FIT"
        background.display_depth = "BACK"
        background.alpha = 1.0
        background.show_expanded = False
        shot.set_span(background.image_user)
        _turn(background, shot, view)
        if shot.only_on is not None:
            frames, hidden = animation.held_visibility([shot.only_on], step)
            shown = [not value for value in hidden]
            animation.write_curve(data, f"background_images[{number}].show_background_image", frames, shown)


def _turn(background: bpy.types.CameraBackgroundImage, shot: Shot, view: Intrinsics) -> None:
    """Turn a stored picture upright; Blender fits it, mirrors it and turns it, in this order."""
    background.use_flip_x = shot.turn.mirror
    background.rotation = shot.turn.quarters * math.pi / 2
    if shot.turn.quarters % 2:
        background.frame_method = "FIT"
        picture = shot.picture
        fitted_lying = min(view.width / picture.height, view.height / picture.width)
        fitted_upright = min(view.width / picture.width, view.height / picture.height)
        background.scale = fitted_upright / fitted_lying
