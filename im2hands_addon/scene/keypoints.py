"""The 21 keypoints of each hand as animated empties, children of one empty per hand."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np

from ..take.reader import KEYPOINT_NAMES
from . import animation, visibility
from .camera import to_blender
from .meshes import SIDE_LETTER
from .ownership import SIDE, mark

_DISPLAY_SIZE = 0.004  # metres


def write_keypoints(
    collection: bpy.types.Collection,
    origin: bpy.types.Object,
    side: str,
    positions: Mapping[int, np.ndarray],
    step: int,
) -> None:
    """Replace the animation of one hand's empties; they are hidden where the hand is absent.

    Parameters
    ----------
    collection : bpy.types.Collection
        The collection of the empties.
    origin : bpy.types.Object
        The take's origin.
    side : str
        "left" or "right".
    positions : mapping of int to (21, 3) array
        Scene frame -> keypoints, camera frame, metres.
    step : int
        How many frames each position is shown.
    """
    empties = _ensure_empties(collection, origin, side)
    frames = sorted(positions)
    if not frames:
        for empty in empties:
            animation.clear(empty)
            empty.hide_viewport = True
        return
    track = to_blender(np.stack([positions[frame] for frame in frames]))
    shown, hidden = visibility.held_visibility(frames, step)
    # Surfaces stand still between the steps of a take, so keypoints must not be interpolated there.
    interpolation = "LINEAR" if step == 1 else "CONSTANT"
    for number, empty in enumerate(empties):
        for axis in range(3):
            values = track[:, number, axis]
            animation.write_curve(empty, "location", frames, values, index=axis, interpolation=interpolation)
        animation.write_curve(empty, "hide_viewport", shown, hidden)


def find_empties(collection: bpy.types.Collection, side: str) -> dict[str, bpy.types.Object]:
    """Return the empties of one hand.

    Parameters
    ----------
    collection : bpy.types.Collection
        The collection of the empties.
    side : str
        "left" or "right".

    Returns
    -------
    dict
        Name of the keypoint -> empty.
    """
    found = {}
    for thing in collection.objects:
        name = thing.get("im2hands_keypoint")
        if name is not None and thing.get(SIDE) == side:
            found[name] = thing
    return found


def _ensure_empties(collection: bpy.types.Collection, origin: bpy.types.Object, side: str) -> list[bpy.types.Object]:
    """The 21 empties of one hand in file order; missing ones are made."""
    letter = SIDE_LETTER[side]
    root = next((one for one in collection.objects if one.get("im2hands_keypoints") == side), None)
    if root is None:
        root = bpy.data.objects.new(f"Keypoints.{letter}", None)
        root.empty_display_size = 0.01
        root.parent = origin
        root.hide_render = True
        mark(root, "keypoints", im2hands_keypoints=side)
        collection.objects.link(root)
    found = find_empties(collection, side)
    for name in KEYPOINT_NAMES:
        if name in found:
            continue
        empty = bpy.data.objects.new(f"{name}.{letter}", None)
        empty.empty_display_type = "SPHERE"
        empty.empty_display_size = _DISPLAY_SIZE
        empty.parent = root
        empty.hide_render = True
        empty.show_in_front = True
        mark(empty, "keypoint", im2hands_keypoint=name, **{SIDE: side})
        collection.objects.link(empty)
        found[name] = empty
    return [found[name] for name in KEYPOINT_NAMES]
