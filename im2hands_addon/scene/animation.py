"""Writes whole animation curves in bulk, the same way in every Blender from 4.2 on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import bpy
import numpy as np

Interpolation = Literal["CONSTANT", "LINEAR"]


def _ensure_curve(datablock: bpy.types.ID, path: str, index: int) -> bpy.types.FCurve:
    """The curve of a property; Blender 4.4 brought slots, 5.0 took ``Action.fcurves`` away."""
    animation = datablock.animation_data or datablock.animation_data_create()
    if animation.action is None:
        animation.action = bpy.data.actions.new(name=datablock.name)
    action = animation.action
    if hasattr(action, "fcurve_ensure_for_datablock"):
        return action.fcurve_ensure_for_datablock(datablock, path, index=index)
    return action.fcurves.find(path, index=index) or action.fcurves.new(path, index=index)


def curves(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    """All curves that animate ``datablock``; empty when there are none."""
    animation = datablock.animation_data
    if animation is None or animation.action is None:
        return []
    action = animation.action
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    found = []
    for layer in action.layers:
        for strip in layer.strips:
            channelbag = strip.channelbag(animation.action_slot)
            found.extend(channelbag.fcurves if channelbag else ())
    return found


def write_curve(
    datablock: bpy.types.ID,
    path: str,
    frames: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    index: int = 0,
    interpolation: Interpolation = "CONSTANT",
) -> None:
    """Make the keys of one property exactly these (earlier ones go).

    Args:
        path: data path from ``datablock``. index: which component of a vector property, 0 for a single value.
        frames: (N,) scene frames, ascending. values: (N,) what the property is there, in its own unit.
    """
    points = _ensure_curve(datablock, path, index).keyframe_points
    count = len(frames)
    if len(points) != count:
        points.clear()
        points.add(count)
    coordinates = np.empty((count, 2), dtype=np.float32)
    coordinates[:, 0] = frames
    coordinates[:, 1] = values
    points.foreach_set("co", coordinates.ravel())
    kinds = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
    points.foreach_set("interpolation", np.full(count, kinds[interpolation].value, dtype=np.int32))
    points.handles_recalc()


def clear(datablock: bpy.types.ID) -> None:
    """Take all animation off ``datablock`` and delete its action when nothing else uses it."""
    animation = datablock.animation_data
    action = animation.action if animation else None
    datablock.animation_data_clear()
    if action is not None and action.users == 0:
        bpy.data.actions.remove(action)


def held_visibility(shown: Sequence[int], step: int) -> tuple[list[int], list[bool]]:
    """Keys of a "hide" property that is off from each frame of ``shown`` until ``step`` frames later, and on elsewhere.

    Args:
        shown: frames, ascending. step: how long each is held, frames.

    Returns:
        frames and values; both empty for an empty ``shown``.
    """
    keys: dict[int, bool] = {}
    end = None
    for frame, following in zip(shown, [*shown[1:], None], strict=True):
        if end is None or end < frame:
            keys[frame - 1] = True
        keys[frame] = False
        end = frame + step
        if following is None or following > end:
            keys[end] = True
    frames = sorted(keys)
    return frames, [keys[frame] for frame in frames]
