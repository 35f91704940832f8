"""The rotation curves of a bone in another rotation mode, in all layers of a rig's motion."""

from __future__ import annotations

from typing import Literal

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..take import quaternions
from . import animation, layers

RotationMode = Literal["QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]


def convert(rig: bpy.types.Object, bone: bpy.types.PoseBone, mode: RotationMode) -> None:
    """Convert the rotation curves of a bone in the raw and in the clean motion, and in the layers above.

    The motion stays as it is on the keys. Euler angles continue beyond half turns instead of jumping by a full turn.

    Parameters
    ----------
    rig : bpy.types.Object
        A rig of a take.
    bone : bpy.types.PoseBone
        The bone.
    mode : str
        The new rotation mode; nothing happens where the bone has it, or turns about an axis and an angle.
    """
    if "AXIS_ANGLE" in (mode, bone.rotation_mode) or bone.rotation_mode == mode:
        return
    clean = layers.clean_action(rig)
    offsets = [action for action in _combined(rig) if clean is not None and _curves(action, bone)]
    totals = []
    for action in offsets:
        frames = _keyed(_curves(action, bone))
        base, offset = _values(clean, bone, frames), _values(action, bone, frames)
        if bone.rotation_mode == "QUATERNION":
            total = quaternions.product(quaternions.normalized(base), quaternions.normalized(offset))
        else:
            total = as_quaternions(base + offset, bone.rotation_mode)
        totals.append((frames, total))
    # The clean motion comes first. The layer below it is kept near it, so that blending takes the short way.
    others = sorted(animation.actions_of(rig) - set(offsets), key=lambda action: action != clean)
    reference: dict[float, np.ndarray] = {}
    for action in others:
        _convert(action, bone, mode, reference)
    was, bone.rotation_mode = bone.rotation_mode, mode
    for action, (frames, total) in zip(offsets, totals, strict=True):
        _write_offsets(clean, action, bone, frames, total, _path(bone, was))


def _combined(rig: bpy.types.Object) -> list[bpy.types.Action]:
    """The actions whose values are combined with the motion below them."""
    found = [strip.action for _, strip in layers.strips(rig) if strip.blend_type == "COMBINE"]
    top = layers.person_layer(rig)
    if top is not None and rig.animation_data.action_blend_type == "COMBINE":
        found.append(top)
    return list(dict.fromkeys(found))


def _path(bone: bpy.types.PoseBone, mode: str) -> str:
    return bone.path_from_id("rotation_quaternion" if mode == "QUATERNION" else "rotation_euler")


def _curves(action: bpy.types.Action, bone: bpy.types.PoseBone) -> dict[int, bpy.types.FCurve]:
    """The curves of a bone's rotation in its rotation mode, by component."""
    path = _path(bone, bone.rotation_mode)
    return {one.array_index: one for one in animation.action_curves(action) if one.data_path == path}


def _keyed(curves: dict[int, bpy.types.FCurve]) -> np.ndarray:
    """The frames (N,) on which any of some curves has a key, ascending."""
    return np.unique(np.concatenate([animation.read_values(one)[0] for one in curves.values()]))


def _values(action: bpy.types.Action, bone: bpy.types.PoseBone, frames: np.ndarray) -> np.ndarray:
    """The values (N, 3 or 4) of a bone's rotation in an action; without a turn where it has no curve."""
    rest = (1.0, 0.0, 0.0, 0.0) if bone.rotation_mode == "QUATERNION" else (0.0, 0.0, 0.0)
    curves = _curves(action, bone)
    return np.array([[curves[k].evaluate(one) if k in curves else rest[k] for k in range(len(rest))] for one in frames])


def _write_offsets(
    clean: bpy.types.Action, action: bpy.types.Action, bone: bpy.types.PoseBone, frames: np.ndarray, total: np.ndarray,
    old: str,
) -> None:  # fmt: skip
    """Replace the offsets of a bone by those that give the rotations ``total`` (N, 4) over the clean motion."""
    base = _values(clean, bone, frames)
    if bone.rotation_mode == "QUATERNION":
        values = quaternions.offsets(quaternions.normalized(base), total)
    else:
        near = dict(zip(frames.tolist(), base, strict=True))
        values = to_euler(total, bone.rotation_mode, frames, near) - base
    kinds = {point.interpolation for one in animation.action_curves(action) if one.data_path == old
             for point in one.keyframe_points}  # fmt: skip
    for curve in [one for one in animation.action_curves(action) if one.data_path == old]:
        animation.remove_curve(action, curve)
    keys = animation.Keys(frames, interpolation=kinds.pop() if len(kinds) == 1 else "LINEAR")
    animation.write_values(action, _path(bone, bone.rotation_mode), keys, values, group=bone.name)


def _convert(
    action: bpy.types.Action, bone: bpy.types.PoseBone, mode: RotationMode, reference: dict[float, np.ndarray]
) -> None:
    """Replace the bone's rotation curves in an action.

    ``reference`` maps frames to values that the result stays near to; values of missing frames are added to it.
    """
    curves = _curves(action, bone)
    if not curves:
        return
    frames = _keyed(curves)
    values = as_quaternions(_values(action, bone, frames), bone.rotation_mode)
    first = next(iter(curves.values()))
    kinds = {point.co[0]: point.type for point in first.keyframe_points}
    interpolation = first.keyframe_points[0].interpolation
    for curve in curves.values():
        animation.remove_curve(action, curve)
    if mode != "QUATERNION":
        turned = to_euler(values, mode, frames, reference)
    else:
        turned = quaternions.continuous(values)
        near = np.array([reference.get(float(frame), one) for frame, one in zip(frames, turned, strict=True)])
        turned = quaternions.nearest(turned, near)
        reference |= dict(zip(frames.tolist(), turned, strict=True))
    keys = animation.Keys(frames, [kinds.get(frame, "KEYFRAME") for frame in frames.tolist()], interpolation)
    animation.write_values(action, _path(bone, mode), keys, turned, group=bone.name)


def as_quaternions(values: np.ndarray, mode: str) -> np.ndarray:
    """Rotations in some mode, (N, 4) or (N, 3) radians, as unit quaternions (N, 4)."""
    if mode == "QUATERNION":
        return quaternions.normalized(values)
    return np.array([Euler(one, mode).to_quaternion() for one in values])


def to_euler(
    values: np.ndarray, mode: RotationMode, frames: np.ndarray, reference: dict[float, np.ndarray]
) -> np.ndarray:
    """Convert quaternions to Euler angles without jumps.

    Parameters
    ----------
    values : (N, 4) array
        Unit quaternions.
    mode : str
        Order of the Euler angles.
    frames : (N,) array
        Scene frames.
    reference : dict
        Frame -> Euler angles (3,) that the result stays near to. Values of missing frames are added to it.

    Returns
    -------
    (N, 3) float64
        Euler angles, radians. Without a reference they are near those of the frame before.
    """
    angles = np.empty((len(values), 3))
    before = Euler((0.0, 0.0, 0.0), mode)
    for number, (frame, value) in enumerate(zip(frames.tolist(), values, strict=True)):
        near = Euler(reference[frame], mode) if frame in reference else before
        before = Quaternion(value).to_euler(mode, near)
        angles[number] = before
        reference.setdefault(frame, angles[number])
    return angles
