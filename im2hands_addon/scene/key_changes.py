"""Recognises which keys of an action of the add-on a person changed since it was imported."""

from __future__ import annotations

import json
from dataclasses import dataclass

import bpy
import numpy as np

from ..take import quaternions
from . import animation, conform, curve_copies, rotation_curves

_CURVES = "im2hands_curves"
_FRAMES = "im2hands_key_frames"
_VALUES = "im2hands_key_values"
_TURNED = 1e-4  # radians; a bone that differs by less is unchanged
_MOVED_M = 1e-5
_SAME_VALUE = 1e-6
_SAME_FRAME = 2e-3  # frames; single precision and conforming shift keys by less


@dataclass
class Channel:
    """What a person changed in one property of a bone, and the frames beside it, on which nothing changed.

    Parameters
    ----------
    bone : str
        Name of the bone.
    name : str
        "rotation_quaternion" or "location".
    frames : (N,) array
        Frames of the take.
    was, now : (N, C) arrays
        The values as imported, and as they are: quaternions or metres.
    changed : (N,) bool
        Where they differ.
    """

    bone: str
    name: str
    frames: np.ndarray
    was: np.ndarray
    now: np.ndarray
    changed: np.ndarray


def remember(action: bpy.types.Action) -> None:
    """Keep the keys of an action as they are now, to recognise later what the person changed.

    Parameters
    ----------
    action : bpy.types.Action
        An action whose curves have keys on the same frames.
    """
    curves = animation.action_curves(action)
    if not curves:
        return
    read = [animation.read_values(curve) for curve in curves]
    action[_CURVES] = json.dumps([(curve.data_path, curve.array_index) for curve in curves])
    # Blender takes contiguous arrays only.
    action[_FRAMES] = np.ascontiguousarray(read[0][0], np.float32)
    action[_VALUES] = np.concatenate([values for _, values in read]).astype(np.float32)


def is_known(action: bpy.types.Action) -> bool:
    """Whether an action remembers its keys as they were imported."""
    return _FRAMES in action


def imported_frames(action: bpy.types.Action) -> np.ndarray:
    """The frames (N,) of the take on which an action was imported."""
    return np.array(action[_FRAMES], np.float64)


def imported_values(action: bpy.types.Action) -> dict[tuple[str, int], np.ndarray]:
    """Path and component -> values as imported (N,)."""
    names = [tuple(one) for one in json.loads(action[_CURVES])]
    values = np.array(action[_VALUES], np.float32).reshape(len(names), -1)
    return dict(zip(names, values, strict=True))


def is_changed(owner: bpy.types.ID, action: bpy.types.Action, to_take: conform.Map) -> bool:
    """Whether a person changed an action of a rig or of shape keys.

    Parameters
    ----------
    owner : bpy.types.ID
        The rig or the shape keys.
    action : bpy.types.Action
        The action, for which :func:`is_known` holds.
    to_take : callable
        Scene frames (N,) -> frames of the take.

    Returns
    -------
    bool
        Whether anything differs from what was imported.
    """
    if isinstance(owner, bpy.types.Object):  # its rotations may have been converted to another mode
        return bool(changed_channels(owner, action, to_take) or other_curves(owner, action, to_take))
    frames, stored = imported_frames(action), imported_values(action)
    curves = {(curve.data_path, curve.array_index): curve for curve in animation.action_curves(action)}
    return curves.keys() != stored.keys() or not all(
        _is_as_imported(curve, frames, stored[name], to_take) for name, curve in curves.items()
    )


def _euler_path(bone: bpy.types.PoseBone) -> str:
    return f"{bone.path_from_id()}.rotation_euler"


def changed_channels(rig: bpy.types.Object, action: bpy.types.Action, to_take: conform.Map) -> list[Channel]:
    """Find the bones whose rotation or location a person changed.

    Parameters
    ----------
    rig : bpy.types.Object
        The rig.
    action : bpy.types.Action
        An action of it, for which :func:`is_known` holds.
    to_take : callable
        Scene frames (N,) -> frames of the take.

    Returns
    -------
    list of Channel
        One for each property of a bone that differs from what was imported.
    """
    frames, stored = imported_frames(action), imported_values(action)
    curves = {(curve.data_path, curve.array_index): curve for curve in animation.action_curves(action)}
    found = []
    for bone in rig.pose.bones:
        for name, count in (("rotation_quaternion", 4), ("location", 3)):
            path = f"{bone.path_from_id()}.{name}"
            if (path, 0) not in stored:
                continue
            is_euler = name == "rotation_quaternion" and bone.rotation_mode != "QUATERNION"
            wanted = _euler_path(bone) if is_euler else path
            now = [one for (at, _), one in sorted(curves.items()) if at == wanted]
            before = np.stack([stored[path, k] for k in range(count)], axis=1)
            if len(now) == (3 if is_euler else count):
                differs = _difference(now, frames, before, to_take, bone.rotation_mode if is_euler else "")
                if differs is not None:
                    found.append(Channel(bone.name, name, *differs))
    return found


def other_curves(rig: bpy.types.Object, action: bpy.types.Action, to_take: conform.Map) -> list[curve_copies.CurveCopy]:
    """Copy the curves in an action of a rig that the add-on did not write; the copies have frames of the take."""
    ours = {path for path, _ in imported_values(action)} | {_euler_path(bone) for bone in rig.pose.bones}
    curves = [one for one in animation.action_curves(action) if one.data_path not in ours]
    return [curve_copies.copy_curve(one, to_take) for one in curves]


def _is_as_imported(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray, to_take: conform.Map) -> bool:
    at, have = animation.read_values(curve)
    return (
        len(at) == len(frames)
        and bool(np.abs(to_take(at.astype(np.float64)) - frames).max(initial=0.0) < _SAME_FRAME)
        and bool(np.abs(have - values).max(initial=0.0) < _SAME_VALUE)
        and curve_copies.is_linear(curve)
    )


def _difference(
    curves: list[bpy.types.FCurve], frames: np.ndarray, before: np.ndarray, to_take: conform.Map, mode: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Frames of the take, the values as imported and now, and where they differ; None where they nowhere do.

    The frames are those on which they differ, and the nearest ones before and after, on which they do not.
    """
    count = before.shape[1]
    is_same_kind = len(curves) == count
    if not all(len(curve.keyframe_points) for curve in curves):
        return None
    if is_same_kind and all(_is_as_imported(curve, frames, before[:, k], to_take) for k, curve in enumerate(curves)):
        return None
    places = np.unique(np.concatenate([animation.read_values(curve)[0] for curve in curves]).astype(np.float64))
    keyed = to_take(places)
    is_denser = _distances(frames, keyed).max() < _SAME_FRAME
    if not (is_denser and all(curve_copies.is_linear(curve) for curve in curves)):
        # Deleted keys and curved interpolation change the motion between the keys too.
        between = np.arange(np.ceil(frames[0]), frames[-1] + 1)
        missing = between[_distances(between, keyed) > _SAME_FRAME]
        places = np.concatenate([places, _inverse(missing, keyed, places)])
        keyed = np.concatenate([keyed, missing])
        order = np.argsort(keyed)
        places, keyed = places[order], keyed[order]
    now = np.array([[curve.evaluate(place) for curve in curves] for place in places])
    was = np.stack([np.interp(keyed, frames, before[:, k]) for k in range(count)], axis=1)
    if count == 4:
        now = rotation_curves.as_quaternions(now, mode or "QUATERNION")
        was = quaternions.normalized(was)
        chord = np.minimum(np.linalg.norm(now - was, axis=1), np.linalg.norm(now + was, axis=1))
        changed = 2.0 * chord > _TURNED
    else:
        changed = np.linalg.norm(now - was, axis=1) > _MOVED_M
    if not changed.any():
        return None
    beside = np.convolve(changed, np.ones(3), "same") > 0
    return keyed[beside], was[beside], now[beside], changed[beside]


def _distances(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each frame from the nearest of some others, which are ascending."""
    after = np.clip(np.searchsorted(others, frames), 0, len(others) - 1)
    return np.minimum(np.abs(others[after] - frames), np.abs(others[np.maximum(after - 1, 0)] - frames))


def _inverse(frames: np.ndarray, keyed: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The scene frames of frames of the take, between known pairs of both."""
    if len(keyed) < 2:
        return places[0] + frames - keyed[0]
    return np.interp(frames, keyed, places)
