"""Converts a take's rotation curves between quaternions and Euler angles, the person's changes included."""

from __future__ import annotations

from typing import Literal, get_args

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from ..errors import InputError
from ..take import quaternions
from . import animation, clean
from .ownership import require_local

RotationMode = Literal["QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]
MODES = get_args(RotationMode)
"""All rotation modes."""


def set_rotation_mode(collection: bpy.types.Collection, mode: RotationMode) -> None:
    """Convert the rotation curves of all bones of a take, in the raw and in the clean motion.

    Euler angles continue beyond half turns instead of jumping by a full turn.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    mode : {"QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"}
        The rotation mode.

    Raises
    ------
    InputError
        The mode is unknown, the take has no rigs, or the collection is linked from another file.
    """
    require_local(collection)
    if mode not in MODES:
        raise InputError(f"There is no rotation mode {mode}.", f"Use one of {', '.join(MODES)}.")
    rigs = clean.rigs(collection)
    if not rigs:
        raise InputError(f"{collection.name} has no rigs.", "Import a take with clean motion.")
    for rig in rigs.values():
        for bone in rig.pose.bones:
            if bone.rotation_mode == mode:
                continue
            # The assigned action comes first. The layers below are kept near it, so that blending takes the short way.
            own = rig.animation_data.action if rig.animation_data else None
            actions = sorted(animation.actions_of(rig), key=lambda action: action != own)
            reference: dict[float, np.ndarray] = {}
            for action in actions:
                _convert(action, bone, mode, reference)
            bone.rotation_mode = mode


def _convert(
    action: bpy.types.Action, bone: bpy.types.PoseBone, mode: RotationMode, reference: dict[float, np.ndarray]
) -> None:
    """Replace the bone's rotation curves in an action.

    ``reference`` maps frames to values that the result stays near to; values of missing frames are added to it.
    """
    was = bone.rotation_mode
    old = bone.path_from_id("rotation_quaternion" if was == "QUATERNION" else "rotation_euler")
    curves = {one.array_index: one for one in animation.action_curves(action) if one.data_path == old}
    if not curves:
        return
    keyed = [animation.read_values(curve)[0] for curve in curves.values()]
    frames = np.unique(np.concatenate(keyed))
    rest = (1.0, 0.0, 0.0, 0.0)
    count = 4 if was == "QUATERNION" else 3
    values = np.array(
        [
            [curves[k].evaluate(frame) if k in curves else rest[k] * (count == 4) for k in range(count)]
            for frame in frames
        ]
    )
    first = next(iter(curves.values()))
    kinds = {point.co[0]: point.type for point in first.keyframe_points}
    interpolation = first.keyframe_points[0].interpolation
    for curve in curves.values():
        animation.remove_curve(action, curve)
    turned = to_euler(_as_quaternions(values, was), mode, frames, reference) if mode != "QUATERNION" else None
    if turned is None:
        turned = quaternions.continuous(_as_quaternions(values, was))
        near = np.array([reference.get(float(frame), one) for frame, one in zip(frames, turned, strict=True)])
        turned = quaternions.nearest(turned, near)
        reference |= dict(zip(frames.tolist(), turned, strict=True))
    new = bone.path_from_id("rotation_quaternion" if mode == "QUATERNION" else "rotation_euler")
    keys = animation.Keys(frames, [kinds.get(frame, "KEYFRAME") for frame in frames.tolist()], interpolation)
    animation.write_values(action, new, keys, turned, group=bone.name)


def _as_quaternions(values: np.ndarray, mode: str) -> np.ndarray:
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
