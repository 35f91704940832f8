"""The footage in space: image empties ("cards") behind the hands that fill the view of the take's camera.

In the camera's view the picture is already the background, and Blender cannot hide an image empty in one camera's view
only. So the cards are in a hidden collection. ``footage.show_footage`` shows the collection and hides the background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import bpy
import numpy as np

from ..take.reader import Intrinsics
from . import animation, tree, visibility
from .camera import to_blender
from .ownership import FRAME, mark, remove_objects, role_of
from .shots import Shot

CARD = "footage"
"""The role of a card (see ``ownership.mark``)."""


def find_cards(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The take's image empties."""
    return [one for one in collection.all_objects if role_of(one) == CARD]


def remove_cards(collection: bpy.types.Collection, kept: Sequence[bpy.types.Image] = ()) -> None:
    """Delete the take's image empties, and the pictures that have no other user but for those that are kept."""
    cards = find_cards(collection)
    images = {card.data for card in cards if card.data is not None}
    remove_objects(cards)
    bpy.data.batch_remove([image for image in images if image.users == 0 and image not in kept])


def write_cards(
    collection: bpy.types.Collection, camera: bpy.types.Object, shots: Sequence[Shot], distance: float
) -> None:
    """Make one image empty for each shot, as a child of the take's camera. The first is called "Footage".

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    camera : bpy.types.Object
        The take's camera.
    shots : sequence of Shot
        The footage; for none, the collection of the cards is removed.
    distance : float
        Distance from the camera to the cards along its axis, metres.
    """
    if not shots:
        tree.remove_child(collection, tree.FOOTAGE)
        return
    place = tree.child(collection, tree.FOOTAGE)
    if place is None:
        place = tree.ensure_child(collection, tree.FOOTAGE)
        place.hide_viewport = place.hide_render = True
    for number, shot in enumerate(shots):
        card = _build(tree.FOOTAGE if number == 0 else f"{tree.FOOTAGE} {min(shot.part.cameras):04d}", shot)
        card.parent = camera
        place.objects.link(card)
        _put(card, shot, distance)
        if shot.part.only_on is not None:
            card[FRAME] = shot.part.only_on[0]
            animation.write_curve(card, "hide_viewport", *visibility.visible_range(*shot.part.only_on))


def _build(name: str, shot: Shot) -> bpy.types.Object:
    """A card in no collection: visible from the front, drawn behind everything, not rendered, locked."""
    card = bpy.data.objects.new(name, None)
    card.empty_display_type = "IMAGE"
    card.data = shot.image
    card.empty_display_size = 1.0
    card.empty_image_offset = (-0.5, -0.5)
    card.empty_image_depth = "BACK"  # objects of the person may be farther away than the card
    card.empty_image_side = "FRONT"
    card.hide_render = True
    card.lock_location = card.lock_rotation = card.lock_scale = (True, True, True)
    shot.part.set_span(card.image_user)
    mark(card, CARD)
    return card


def _put(card: bpy.types.Object, shot: Shot, distance: float) -> None:
    """Place the card so that it fills the picture's part of the camera's view on every frame."""
    card.rotation_euler = (0.0, 0.0, -shot.part.turn.quarters * math.pi / 2)
    frames = sorted(shot.part.cameras)
    places = [_place(shot, shot.part.cameras[frame], distance) for frame in frames]
    for path, values in zip(("location", "scale"), map(np.array, zip(*places, strict=True)), strict=True):
        setattr(card, path, values[0])
        if not np.allclose(values, values[0], rtol=1e-6, atol=1e-9):
            for axis in range(3):
                animation.write_curve(card, path, frames, values[:, axis], index=axis)


def _place(shot: Shot, camera: Intrinsics, distance: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Location and scale of the card in the frame of Blender's camera, metres.

    Pixel centres have whole coordinates, so the picture spans -0.5 to width - 0.5.
    """
    right = (0.5 * (camera.width - 1) - camera.cx) / camera.fx * distance
    down = (0.5 * (camera.height - 1) - camera.cy) / camera.fy * distance
    size = camera.width / camera.fx * distance, camera.height / camera.fy * distance
    lying = shot.part.turn.quarters % 2 == 1
    across, along = _drawn_size(
        camera.height if lying else camera.width, camera.width if lying else camera.height, shot
    )
    scale = (size[1] / across, size[0] / along) if lying else (size[0] / across, size[1] / along)
    location = to_blender([right, down, distance])
    return tuple(location.tolist()), (-scale[0] if shot.part.turn.mirror else scale[0], scale[1], 1.0)


def _drawn_size(columns: int, rows: int, shot: Shot) -> tuple[float, float]:
    """Width and height that Blender draws the stored picture with, for an empty of size 1: the longer side is 1."""
    x, y = shot.image.display_aspect
    width, height = columns * min(1.0, x / y), rows * min(1.0, y / x)
    return width / max(width, height), height / max(width, height)
