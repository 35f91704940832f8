"""Writes whole animation curves in bulk, and layers actions as NLA strips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from . import blender_versions

Interpolation = Literal["CONSTANT", "LINEAR"]
KEY_KINDS = ("KEYFRAME", "EXTREME", "BREAKDOWN", "JITTER")
"""Blender's types of keyframes that the add-on uses."""


def _codes(name: str) -> dict[str, int]:
    """Name -> number of the choices of an enum property of keyframes; ``foreach_set`` needs the numbers."""
    return {item.identifier: item.value for item in bpy.types.Keyframe.bl_rna.properties[name].enum_items}


def new_action(datablock: bpy.types.ID, name: str) -> bpy.types.Action:
    """Make an empty action.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block whose type the action is for. The action is not assigned to it.
    name : str
        Name of the action.

    Returns
    -------
    bpy.types.Action
        The action.
    """
    action = bpy.data.actions.new(name)
    blender_versions.set_up_action(action, datablock)
    return action


def assign(datablock: bpy.types.ID, action: bpy.types.Action) -> None:
    """Animate a data-block by an action.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.
    action : bpy.types.Action
        An action from :func:`new_action`.
    """
    animation = datablock.animation_data or datablock.animation_data_create()
    animation.action = action
    blender_versions.use_first_slot(animation)


def action_curves(action: bpy.types.Action, slot: object = None) -> list[bpy.types.FCurve]:
    """Return the curves of an action.

    Parameters
    ----------
    action : bpy.types.Action
        The action.
    slot : bpy.types.ActionSlot, optional
        A slot of the action; None for the first, and before Blender 4.4.

    Returns
    -------
    list of bpy.types.FCurve
        All curves of the slot.
    """
    container = blender_versions.curve_container(action, slot)
    return list(container.fcurves) if container is not None else []


def all_curves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    """The curves of all slots of an action."""
    return [curve for slot in blender_versions.all_slots(action) for curve in action_curves(action, slot)]


def curves(datablock: bpy.types.ID) -> list[bpy.types.FCurve]:
    """The curves of the action that is assigned to ``datablock``; empty without an action."""
    animation = datablock.animation_data
    container = blender_versions.active_curve_container(animation) if animation is not None else None
    return list(container.fcurves) if container is not None else []


def actions_of(datablock: bpy.types.ID) -> set[bpy.types.Action]:
    """The actions that animate ``datablock``: the assigned one and those of its NLA strips."""
    animation = datablock.animation_data
    if animation is None:
        return set()
    found = {strip.action for track in animation.nla_tracks for strip in track.strips}
    return {action for action in (*found, animation.action) if action is not None}


@dataclass(frozen=True)
class Keys:
    """The frames and types of keys, shared by many curves.

    Parameters
    ----------
    frames : (N,) array
        Scene frames, ascending.
    kinds : sequence of N str, optional
        Types of the keys, from ``KEY_KINDS``; None for plain keys.
    interpolation : {"CONSTANT", "LINEAR"}
        Interpolation between consecutive keys.
    """

    frames: np.ndarray
    kinds: Sequence[str] | None = None
    interpolation: Interpolation = "CONSTANT"


def own_action(datablock: bpy.types.ID) -> tuple[bpy.types.Action, object]:
    """Return the assigned action of a data-block; a new one where there is none, a copy in place of a linked one.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.

    Returns
    -------
    tuple of bpy.types.Action and (bpy.types.ActionSlot or None)
        The action, and the slot of the data-block in it; None before Blender 4.4.
    """
    animation = datablock.animation_data or datablock.animation_data_create()
    if animation.action is None:
        assign(datablock, new_action(datablock, datablock.name))
    elif animation.action.library is not None:  # of a library override: the action of the linked file stays as it is
        slot = blender_versions.slot_name(animation)
        animation.action = animation.action.copy()
        blender_versions.use_slot_named(animation, slot)
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
    """Replace all keys of one property in an action.

    Parameters
    ----------
    action : bpy.types.Action
        The action.
    path : str
        Data path of the property.
    keys : Keys
        The N keys.
    values : (N,) or (N, C) array
        Values of the property, or of C components of it, at the keys, in the unit of the property.
    group : str
        Group of the curves in the Dope Sheet; "" for none.
    first : int
        Index of the first component.
    slot : bpy.types.ActionSlot, optional
        A slot of the action; None for the first.
    """
    container = blender_versions.curve_container(action, slot)
    columns = np.asarray(values, np.float32).reshape(len(keys.frames), -1)
    for number in range(columns.shape[1]):
        index = first + number
        curve = container.fcurves.find(path, index=index) or container.fcurves.new(path, index=index)
        if group and curve.group is None:
            curve.group = container.groups.get(group) or container.groups.new(group)
        _fill(curve, keys, columns[:, number])


def replace_values(
    action: bpy.types.Action, path: str, keys: Keys, values: np.ndarray, *, group: str, slot: object, span: range
) -> None:  # fmt: skip
    """Replace the keys of one property on some frames; keys on other frames stay.

    Parameters
    ----------
    action : bpy.types.Action
        The action.
    path : str
        Data path of the property.
    keys : Keys
        The N keys, all within the span.
    values : (N, C) array
        Values of C components of the property at the keys.
    group : str
        Group of the curves in the Dope Sheet.
    slot : bpy.types.ActionSlot or None
        A slot of the action; None for the first.
    span : range
        Frames whose keys are replaced.
    """
    container = blender_versions.curve_container(action, slot)
    for index, column in enumerate(np.asarray(values, np.float32).T):
        curve = container.fcurves.find(path, index=index)
        points = list(curve.keyframe_points) if curve is not None else []
        inside = [point for point in points if span[0] - 0.5 < point.co[0] < span[-1] + 0.5]
        if len(inside) == len(points):
            write_values(action, path, keys, column, group=group, first=index, slot=slot)
            continue
        for point in reversed(inside):
            curve.keyframe_points.remove(point, fast=True)
        for frame, value in zip(keys.frames.tolist(), column.tolist(), strict=True):
            curve.keyframe_points.insert(frame, value, options={"FAST"}).interpolation = keys.interpolation
        curve.update()


def _fill(curve: bpy.types.FCurve, keys: Keys, values: np.ndarray) -> None:
    """Replace the keys of one curve."""
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
    """Return the frames (N,) float32 and the values (N,) float32 of a curve's keys."""
    values = np.empty(len(curve.keyframe_points) * 2, dtype=np.float32)
    curve.keyframe_points.foreach_get("co", values)
    return values[0::2], values[1::2]


def remove_curve(action: bpy.types.Action, curve: bpy.types.FCurve) -> None:
    """Remove one curve from the first slot of an action."""
    blender_versions.curve_container(action).fcurves.remove(curve)


def move_keys(curve: bpy.types.FCurve, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Move the keys of a curve in time, with their handles.

    Parameters
    ----------
    curve : bpy.types.FCurve
        The curve.
    change : callable
        Frames (N,) -> new frames (N,); it keeps their order.
    """
    points = curve.keyframe_points
    for name in ("handle_left", "handle_right", "co"):
        values = np.empty(len(points) * 2, dtype=np.float32)
        points.foreach_get(name, values)
        values[0::2] = change(values[0::2].astype(np.float64))
        points.foreach_set(name, values)
    curve.update()


def remove_curves(datablock: bpy.types.ID, is_wanted: Callable[[str], bool]) -> None:
    """Remove curves from the assigned action of a data-block; the action goes too when nothing is left in it.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.
    is_wanted : callable
        Data path of a curve -> whether to remove the curve.
    """
    animation = datablock.animation_data
    container = blender_versions.active_curve_container(animation) if animation is not None else None
    if container is None:
        return
    for curve in [one for one in container.fcurves if is_wanted(one.data_path)]:
        container.fcurves.remove(curve)
    if not len(container.fcurves) and not animation.nla_tracks and not animation.drivers:
        clear(datablock)


def write_curve(
    datablock: bpy.types.ID,
    path: str,
    frames: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    *,
    index: int = 0,
    interpolation: Interpolation = "CONSTANT",
) -> None:
    """Replace all keys of one property of a data-block, in its assigned action (made where there is none).

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.
    path : str
        Data path of the property, from the data-block.
    frames : (N,) sequence or array
        Scene frames of the keys, ascending.
    values : (N,) sequence or array
        Values at the keys, in the unit of the property.
    index : int
        Component of a vector property; 0 for a single value.
    interpolation : {"CONSTANT", "LINEAR"}
        Interpolation between consecutive keys.
    """
    action, slot = own_action(datablock)
    keys = Keys(np.asarray(frames), interpolation=interpolation)
    write_values(action, path, keys, np.asarray(values), first=index, slot=slot)


def put_below(datablock: bpy.types.ID, action: bpy.types.Action, name: str) -> bpy.types.NlaStrip:
    """Add an action as an NLA strip below the assigned action of a data-block.

    :func:`set_influence` sets how far the assigned action covers it.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.
    action : bpy.types.Action
        The action for the strip; its keys stay on their frames.
    name : str
        Name of the track and the strip.

    Returns
    -------
    bpy.types.NlaStrip
        The strip.
    """
    animation = datablock.animation_data or datablock.animation_data_create()
    track = animation.nla_tracks.new()
    track.name = name
    strip = track.strips.new(name, int(action.frame_range[0]), action)
    blender_versions.use_first_slot(strip)
    fit_strip(strip)
    strip.extrapolation = "HOLD"
    strip.blend_type = "REPLACE"
    return strip


def fit_strip(strip: bpy.types.NlaStrip) -> None:
    """Make a strip show all of its action, each key on the scene frame of its own number."""
    start, end = strip.action.frame_range
    end = max(end, start + 1.0)
    # Blender keeps a start before its end, so an end that moves up comes first.
    for first, last in (("action_frame_start", "action_frame_end"), ("frame_start", "frame_end")):
        setattr(strip, last, max(end, getattr(strip, last)))
        setattr(strip, first, start)
        setattr(strip, last, end)
    strip.scale = 1.0


def influence(datablock: bpy.types.ID) -> float:
    """Influence of the assigned action over the NLA strips below it, 0 to 1; 1 without animation."""
    return datablock.animation_data.action_influence if datablock.animation_data else 1.0


def set_influence(datablock: bpy.types.ID, value: float) -> None:
    """Set the influence of the assigned action over the NLA strips below it.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block; nothing happens if it has no animation.
    value : float
        0 shows only the strips, 1 only the action. Values outside are clamped.
    """
    if datablock.animation_data is not None:
        datablock.animation_data.action_influence = min(1.0, max(0.0, value))


def clear(datablock: bpy.types.ID) -> None:
    """Remove all animation of ``datablock``, and delete its actions that have no other user."""
    actions = actions_of(datablock)
    datablock.animation_data_clear()
    for action in actions:
        if action.users == 0:
            bpy.data.actions.remove(action)
