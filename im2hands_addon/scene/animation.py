"""Writes whole animation curves in bulk, and layers actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from . import blender_versions

Interpolation = Literal["CONSTANT", "LINEAR"]
KEY_KINDS = ("KEYFRAME", "EXTREME", "BREAKDOWN", "JITTER")


def _codes(name: str) -> dict[str, int]:
    """The numbers by which ``foreach_set`` knows the choices of a keyframe's property."""
    return {item.identifier: item.value for item in bpy.types.Keyframe.bl_rna.properties[name].enum_items}


def new_action(datablock: bpy.types.ID, name: str) -> bpy.types.Action:
    """An empty action for things like ``datablock``, assigned to nothing yet."""
    action = bpy.data.actions.new(name)
    blender_versions.set_up_action(action, datablock)
    return action


def assign(datablock: bpy.types.ID, action: bpy.types.Action) -> None:
    """Let ``action``, made by :func:`new_action`, move ``datablock``."""
    animation = datablock.animation_data or datablock.animation_data_create()
    animation.action = action
    blender_versions.use_first_slot(animation)


def action_curves(action: bpy.types.Action, slot: object = None) -> list[bpy.types.FCurve]:
    """All curves of an action; of a slotted one those of ``slot``, by default the first."""
    container = blender_versions.curve_container(action, slot)
    return list(container.fcurves) if container is not None else []


def curves(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    """All curves that animate ``datablock`` through its own action; empty when there are none."""
    animation = datablock.animation_data
    container = blender_versions.active_curve_container(animation) if animation is not None else None
    return list(container.fcurves) if container is not None else []


def actions_of(datablock: bpy.types.ID) -> set[bpy.types.Action]:
    """The actions that animate ``datablock``: its own and those in its layers."""
    animation = datablock.animation_data
    if animation is None:
        return set()
    found = {strip.action for track in animation.nla_tracks for strip in track.strips}
    return {action for action in (*found, animation.action) if action is not None}


@dataclass(frozen=True)
class Keys:
    """When keys stand, and of what kind they are; shared by many curves.

    Args:
        frames: (N,) scene frames, ascending. kinds: (N,) names out of ``KEY_KINDS``, or None for plain keys.
        interpolation: between a key and the next.
    """

    frames: np.ndarray
    kinds: Sequence[str] | None = None
    interpolation: Interpolation = "CONSTANT"


def own_action(datablock: bpy.types.ID) -> tuple[bpy.types.Action, object]:
    """The action that ``datablock`` has, made where it has none, and its slot in it (None before slots)."""
    animation = datablock.animation_data or datablock.animation_data_create()
    if animation.action is None:
        assign(datablock, new_action(datablock, datablock.name))
    return animation.action, blender_versions.ensure_slot(datablock)


def write_values(
    action: bpy.types.Action,
    path: str,
    keys: Keys,
    values: np.ndarray,
    *,
    group: str = "",
    first: int = 0,
    slot: object = None,
) -> None:
    """Make the keys of one property of an action exactly these (earlier ones go).

    Args:
        path: data path. values: (N,) or (N, C) what its component(s) are at the keys, in the property's own unit.
        group: heading in the Dope Sheet. first: number of the first component.
        slot: of a slotted action; None for the first.
    """
    container = blender_versions.curve_container(action, slot)
    columns = np.asarray(values, np.float32).reshape(len(keys.frames), -1)
    for number in range(columns.shape[1]):
        index = first + number
        curve = container.fcurves.find(path, index=index) or container.fcurves.new(path, index=index)
        if group and curve.group is None:
            curve.group = container.groups.get(group) or container.groups.new(group)
        _fill(curve, keys, columns[:, number])


def _fill(curve: bpy.types.FCurve, keys: Keys, values: np.ndarray) -> None:
    points, count = curve.keyframe_points, len(keys.frames)
    if len(points) != count:
        points.clear()
        points.add(count)
    coordinates = np.empty((count, 2), dtype=np.float32)
    coordinates[:, 0] = keys.frames
    coordinates[:, 1] = values
    points.foreach_set("co", coordinates.ravel())
    points.foreach_set("interpolation", np.full(count, _codes("interpolation")[keys.interpolation], dtype=np.int32))
    if keys.kinds is not None:
        codes = _codes("type")
        points.foreach_set("type", np.array([codes[kind] for kind in keys.kinds], dtype=np.int32))
    points.handles_recalc()


def read_values(curve: bpy.types.FCurve) -> tuple[np.ndarray, np.ndarray]:
    """The frames (N,) and values (N,) of a curve's keys."""
    values = np.empty(len(curve.keyframe_points) * 2, dtype=np.float32)
    curve.keyframe_points.foreach_get("co", values)
    return values[0::2], values[1::2]


def remove_curve(action: bpy.types.Action, curve: bpy.types.FCurve) -> None:
    """Take one curve out of an action."""
    blender_versions.curve_container(action).fcurves.remove(curve)


def write_curve(
    datablock: bpy.types.ID,
    path: str,
    frames: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    index: int = 0,
    interpolation: Interpolation = "CONSTANT",
) -> None:
    """Make the keys of one property of ``datablock`` exactly these, in its own action (made where there is none).

    Args:
        path: data path from ``datablock``. index: which component of a vector property, 0 for a single value.
        frames: (N,) scene frames, ascending. values: (N,) what the property is there, in its own unit.
    """
    action, slot = own_action(datablock)
    keys = Keys(np.asarray(frames), interpolation=interpolation)
    write_values(action, path, keys, np.asarray(values), first=index, slot=slot)


def put_below(datablock: bpy.types.ID, action: bpy.types.Action, name: str) -> bpy.types.NlaStrip:
    """Lay ``action`` as a strip under the one that ``datablock`` has, at its own frames.

    What shows through of it follows from :func:`set_influence`.
    """
    animation = datablock.animation_data or datablock.animation_data_create()
    track = animation.nla_tracks.new()
    track.name = name
    start, end = action.frame_range
    strip = track.strips.new(name, int(start), action)
    blender_versions.use_first_slot(strip)
    strip.action_frame_start, strip.action_frame_end = start, max(end, start + 1.0)
    strip.extrapolation = "HOLD"
    strip.blend_type = "REPLACE"
    animation.action_blend_type = "REPLACE"
    animation.action_extrapolation = "HOLD"
    return strip


def influence(datablock: bpy.types.ID) -> float:
    """How far the datablock's own action covers the layers below it, 0 to 1."""
    return datablock.animation_data.action_influence if datablock.animation_data else 1.0


def set_influence(datablock: bpy.types.ID, value: float) -> None:
    """Let the own action of ``datablock`` cover the layers below it by ``value``, 0 to 1."""
    if datablock.animation_data is not None:
        datablock.animation_data.action_influence = min(1.0, max(0.0, value))


def clear(datablock: bpy.types.ID) -> None:
    """Take all animation off ``datablock`` and delete the actions that nothing else uses."""
    actions = actions_of(datablock)
    datablock.animation_data_clear()
    for action in actions:
        if action.users == 0:
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
