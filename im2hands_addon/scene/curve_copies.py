"""Copies single curves and NLA strips as plain values, so that they outlive the data-block that they animate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import bpy
import numpy as np

from . import blender_versions

_ARRAYS = ("co", "handle_left", "handle_right")
_CHOICES = ("interpolation", "easing", "handle_left_type", "handle_right_type", "type")
_STRIP = (
    "blend_type", "extrapolation", "influence", "use_animated_influence", "use_auto_blend", "blend_in", "blend_out",
    "mute", "repeat", "scale", "use_reverse",
)  # fmt: skip


@dataclass
class CurveCopy:
    """A curve as values.

    Parameters
    ----------
    path : str
        Data path of the property.
    index : int
        Component of it.
    group : str
        Group in the Dope Sheet; "" for none.
    extrapolation : str
        What the curve does beyond its keys.
    arrays : mapping of str to (2 N,) float32
        Places of the N keys and of their handles.
    choices : mapping of str to list of N str
        Settings of the keys.
    """

    path: str
    index: int
    group: str
    extrapolation: str
    arrays: Mapping[str, np.ndarray]
    choices: Mapping[str, list[str]]


def is_linear(curve: bpy.types.FCurve) -> bool:
    """Whether a curve is straight between all its keys and has no modifiers."""
    codes = np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("interpolation", codes)
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    return bool((codes == linear).all()) and not len(curve.modifiers)


def copy_curve(curve: bpy.types.FCurve, change: Callable[[np.ndarray], np.ndarray]) -> CurveCopy:
    """Copy a curve; its modifiers are left out.

    Parameters
    ----------
    curve : bpy.types.FCurve
        The curve.
    change : callable
        Frames (N,) -> frames (N,) of the copy.

    Returns
    -------
    CurveCopy
        The copy.
    """
    points = curve.keyframe_points
    arrays = {}
    for name in _ARRAYS:
        values = np.empty(len(points) * 2, np.float32)
        points.foreach_get(name, values)
        values[0::2] = change(values[0::2].astype(np.float64))
        arrays[name] = values
    choices = {name: [getattr(point, name) for point in points] for name in _CHOICES}
    group = curve.group.name if curve.group is not None else ""
    return CurveCopy(curve.data_path, curve.array_index, group, curve.extrapolation, arrays, choices)


def paste_curve(action: bpy.types.Action, copy: CurveCopy) -> None:
    """Add a copied curve to the first slot of an action, in place of a curve of the same property.

    Parameters
    ----------
    action : bpy.types.Action
        The action.
    copy : CurveCopy
        The copy.
    """
    container = blender_versions.curve_container(action)
    there = container.fcurves.find(copy.path, index=copy.index)
    if there is not None:
        container.fcurves.remove(there)
    curve = container.fcurves.new(copy.path, index=copy.index)
    if copy.group:
        curve.group = container.groups.get(copy.group) or container.groups.new(copy.group)
    curve.extrapolation = copy.extrapolation
    points = curve.keyframe_points
    points.add(len(copy.arrays["co"]) // 2)
    for name, values in copy.choices.items():
        for point, value in zip(points, values, strict=True):
            setattr(point, name, value)
    for name, array in copy.arrays.items():
        points.foreach_set(name, array)
    curve.update()


def read_strip(strip: bpy.types.NlaStrip) -> dict[str, object]:
    """Return the settings of an NLA strip, with its action under "action"."""
    names = (*_STRIP, "name", "action", "frame_start", "frame_end", "action_frame_start", "action_frame_end")
    return {name: getattr(strip, name) for name in names}


def paste_strip(track: bpy.types.NlaTrack, values: Mapping[str, object]) -> None:
    """Add a strip with the settings from :func:`read_strip` to an NLA track.

    Parameters
    ----------
    track : bpy.types.NlaTrack
        The track.
    values : mapping
        The settings.
    """
    if values["action"] is None:  # a strip of another kind, such as a transition
        return
    strip = track.strips.new(str(values["name"]), int(values["frame_start"]), values["action"])
    blender_versions.use_first_slot(strip)
    for name in ("action_frame_start", "action_frame_end", *_STRIP, "frame_start", "frame_end"):
        setattr(strip, name, values[name])
