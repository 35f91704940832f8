"""Carries what a person keyed on a take's rigs into the rigs of the next import.

Importing a take again makes new rigs with new motion, for example after another smoothing. Each action of the add-on
remembers its keys as they were imported. What differs from them is the person's: changed, added and deleted keys of
bones are written into the new clean motion, other curves and NLA tracks are copied. What cannot be written into the
new motion (corrective shapes, the raw motion) stays as a muted NLA track. All of it is told.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Euler

from ..take import quaternions
from . import animation, conform, curve_copies
from .markers import doubtful_runs
from .ownership import ROLE, role_of

BEFORE = "Before re-run"
"""Name of the muted NLA track with an action that could not be carried over."""

_CURVES = "im2hands_curves"
_FRAMES = "im2hands_key_frames"
_VALUES = "im2hands_key_values"
_TURNED = 1e-4  # radians; a bone that differs by less is unchanged
_MOVED_M = 1e-5
_SAME_VALUE = 1e-6
_SAME_FRAME = 2e-3  # frames; single precision and conforming shift keys by less
_OUR_TRACKS = ("Raw", BEFORE)


@dataclass
class Channel:
    """The person's values of one property of a bone: frames of the take (N,), values (N, C)."""

    bone: str
    name: str
    frames: np.ndarray
    values: np.ndarray


@dataclass
class Track:
    """An NLA track of the person: its name, whether it is muted, and the values of its strips."""

    name: str
    mute: bool
    strips: list[dict[str, object]]


@dataclass
class Edits:
    """What a person keyed on one rig, or on the shape keys of its mesh.

    Parameters
    ----------
    channels : list of Channel
        Rotations of bones as quaternions, and locations.
    curves : list of curve_copies.CurveCopy
        Curves of properties that the add-on does not animate; frames of the take.
    tracks : list of Track
        NLA tracks.
    poses : dict
        Bone -> values that have no keys, by property.
    kept : list of bpy.types.Action
        Actions that cannot be written into the new motion.
    """

    channels: list[Channel] = field(default_factory=list)
    curves: list[curve_copies.CurveCopy] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    poses: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    kept: list[bpy.types.Action] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the person keyed nothing."""
        return not (self.channels or self.curves or self.tracks or self.kept)


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


def read_edits(collection: bpy.types.Collection, owner: bpy.types.ID) -> Edits:
    """Find what a person keyed on a rig or on shape keys since the import, before they are deleted.

    Actions that must survive the deletion get a fake user; :func:`write_edits` takes it away again.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    owner : bpy.types.ID
        A rig of the take, or the shape keys of its mesh.

    Returns
    -------
    Edits
        What the person keyed.
    """
    found = Edits()
    animated = owner.animation_data
    if animated is None:
        return found
    _, to_take = conform.maps(collection)
    action = animated.action
    if action is not None and role_of(action) != "clean":
        found.kept.append(action)
    elif action is not None and _FRAMES in action:
        if isinstance(owner, bpy.types.Object):
            _read_rig(owner, action, to_take, found)
        elif _is_changed(owner, action, to_take):
            found.kept.append(action)
    for track in animated.nla_tracks:
        actions = [strip.action for strip in track.strips if strip.action is not None]
        if any(role_of(one) == "raw" for one in actions):
            found.kept += [one for one in actions if _FRAMES in one and _is_changed(owner, one, to_take)]
        elif track.name.startswith(BEFORE):
            found.kept += actions
        else:
            found.tracks.append(
                Track(track.name, track.mute, [curve_copies.read_strip(strip) for strip in track.strips])
            )
            for one in actions:
                one.use_fake_user = True
    for one in found.kept:
        one.use_fake_user = True
    return found


def write_edits(owner: bpy.types.ID | None, edits: Edits) -> None:
    """Write what a person keyed into a new rig or new shape keys.

    Parameters
    ----------
    owner : bpy.types.ID or None
        The new rig or shape keys, with their motion; None if there are none any more: then the actions stay in the
        file with a fake user.
    edits : Edits
        What the person keyed.
    """
    for action in edits.kept:
        action.pop(ROLE, None)
    if owner is None:
        return
    action = animation.own_action(owner)[0]
    for channel in edits.channels:
        if channel.bone in owner.pose.bones:
            _write_channel(owner, action, channel)
    for curve in edits.curves:
        curve_copies.paste_curve(action, curve)
    for bone, values in edits.poses.items():
        for name, value in values.items():
            if bone in owner.pose.bones:
                setattr(owner.pose.bones[bone], name, value)
    for track in edits.tracks:
        new = owner.animation_data.nla_tracks.new()
        new.name, new.mute = track.name, track.mute
        for strip in track.strips:
            curve_copies.paste_strip(new, strip)
            strip["action"].use_fake_user = False
    for kept in edits.kept:
        animation.put_below(owner, kept, BEFORE)
        owner.animation_data.nla_tracks[-1].name = BEFORE
        owner.animation_data.nla_tracks[-1].mute = True
        kept.use_fake_user = False


def words(side: str, edits: Sequence[Edits], is_there: bool) -> list[str]:
    """Tell a person what became of their keys.

    Parameters
    ----------
    side : str
        "left" or "right".
    edits : sequence of Edits
        What was keyed on the rig and on the shape keys of the hand.
    is_there : bool
        Whether the new take has this hand.

    Returns
    -------
    list of str
        One message for each way in which keys were kept.
    """
    told = []
    channels = [channel for one in edits for channel in one.channels]
    others = [name for one in edits for name in (*(c.path for c in one.curves), *(t.name for t in one.tracks))]
    kept = [action.name for one in edits for action in one.kept]
    if not is_there:
        names = ", ".join(kept)
        return [f"The take has no {side} hand any more. Your keys on it stay in the action {names}."] if kept else []
    if channels:
        frames = sorted({int(frame) for channel in channels for frame in channel.frames})
        runs = doubtful_runs(dict.fromkeys(frames, "changed"), 1)
        named = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last, _ in runs)
        bones = sorted({channel.bone for channel in channels})
        told.append(
            f"Your changes to the {side} hand were kept in the new motion: frames {named} ({', '.join(bones)}). "
            "To drop them, delete the take and import it again."
        )
    if others:
        told.append(f"Your animation of the {side} hand was kept: {', '.join(sorted(set(others)))}.")
    if kept:
        told.append(
            f"Your changes to {', '.join(kept)} do not fit the new motion of the {side} hand. "
            f'They were kept as the muted NLA track "{BEFORE}".'
        )
    return told


def keep_whole(owner: bpy.types.ID, edits: Edits) -> None:
    """Keep the whole action of a hand that the new take has not, if the person keyed anything in it."""
    action = owner.animation_data.action if owner.animation_data is not None else None
    if (edits.channels or edits.curves) and action is not None and action not in edits.kept:
        action.use_fake_user = True
        edits.kept.append(action)


def _stored(action: bpy.types.Action) -> dict[tuple[str, int], np.ndarray]:
    """Path and component -> values as imported (N,)."""
    names = [tuple(one) for one in json.loads(action[_CURVES])]
    values = np.array(action[_VALUES], np.float32).reshape(len(names), -1)
    return dict(zip(names, values, strict=True))


def _is_changed(owner: bpy.types.ID, action: bpy.types.Action, to_take: conform.Map) -> bool:
    if isinstance(owner, bpy.types.Object):  # its rotations may have been converted to another mode
        found = Edits()
        _read_rig(owner, action, to_take, found)
        return not found.is_empty
    frames, stored = np.array(action[_FRAMES], np.float64), _stored(action)
    curves = {(curve.data_path, curve.array_index): curve for curve in animation.action_curves(action)}
    return curves.keys() != stored.keys() or not all(
        _is_as_imported(curve, frames, stored[name], to_take) for name, curve in curves.items()
    )


def _is_as_imported(curve: bpy.types.FCurve, frames: np.ndarray, values: np.ndarray, to_take: conform.Map) -> bool:
    at, have = animation.read_values(curve)
    return (
        len(at) == len(frames)
        and bool(np.abs(to_take(at.astype(np.float64)) - frames).max(initial=0.0) < _SAME_FRAME)
        and bool(np.abs(have - values).max(initial=0.0) < _SAME_VALUE)
        and curve_copies.is_linear(curve)
    )


def _read_rig(rig: bpy.types.Object, action: bpy.types.Action, to_take: conform.Map, found: Edits) -> None:
    frames, stored = np.array(action[_FRAMES], np.float64), _stored(action)
    curves = {(curve.data_path, curve.array_index): curve for curve in animation.action_curves(action)}
    ours = {path for path, _ in stored}
    for bone in rig.pose.bones:
        base = bone.path_from_id()
        for name, count in (("rotation_quaternion", 4), ("location", 3)):
            path = f"{base}.{name}"
            if path not in ours:
                continue
            euler = f"{base}.rotation_euler"
            is_euler = name == "rotation_quaternion" and bone.rotation_mode != "QUATERNION"
            now = [one for (at, _), one in sorted(curves.items()) if at == (euler if is_euler else path)]
            ours.add(euler)
            before = np.stack([stored[path, k] for k in range(count)], axis=1)
            if len(now) == (3 if is_euler else count):
                mode = bone.rotation_mode if is_euler else ""
                channel = _difference(now, frames, before, to_take, mode)
                if len(channel[0]):
                    found.channels.append(Channel(bone.name, name, *channel))
        unkeyed = {}
        for name, default in (("scale", 1.0), ("location", 0.0)):
            value = tuple(getattr(bone, name))
            if not any(path == f"{base}.{name}" for path, _ in curves) and any(one != default for one in value):
                unkeyed[name] = value
        if unkeyed:
            found.poses[bone.name] = unkeyed
    found.curves += [curve_copies.copy_curve(one, to_take) for (path, _), one in curves.items() if path not in ours]


def _difference(
    curves: list[bpy.types.FCurve], frames: np.ndarray, before: np.ndarray, to_take: conform.Map, mode: str
) -> tuple[np.ndarray, np.ndarray]:
    """The frames of the take on which curves differ from the values as imported, and the values there."""
    count = before.shape[1]
    is_same_kind = len(curves) == count
    if not all(len(curve.keyframe_points) for curve in curves):
        return np.empty(0), np.empty((0, count))
    if is_same_kind and all(_is_as_imported(curve, frames, before[:, k], to_take) for k, curve in enumerate(curves)):
        return np.empty(0), np.empty((0, count))
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
        now = quaternions.normalized(now) if not mode else np.array([Euler(one, mode).to_quaternion() for one in now])
        was = quaternions.normalized(was)
        chord = np.minimum(np.linalg.norm(now - was, axis=1), np.linalg.norm(now + was, axis=1))
        changed = 2.0 * chord > _TURNED
    else:
        changed = np.linalg.norm(now - was, axis=1) > _MOVED_M
    return keyed[changed], now[changed]


def _distances(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The distance of each frame from the nearest of some others, which are ascending."""
    after = np.clip(np.searchsorted(others, frames), 0, len(others) - 1)
    return np.minimum(np.abs(others[after] - frames), np.abs(others[np.maximum(after - 1, 0)] - frames))


def _inverse(frames: np.ndarray, keyed: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The scene frames of frames of the take, between known pairs of both."""
    if len(keyed) < 2:
        return places[0] + frames - keyed[0]
    return np.interp(frames, keyed, places)


def _write_channel(rig: bpy.types.Object, action: bpy.types.Action, channel: Channel) -> None:
    """Set keys of one property of a bone; quaternions get the sign that is near the motion around them."""
    path = f"{rig.pose.bones[channel.bone].path_from_id()}.{channel.name}"
    curves = [one for one in animation.action_curves(action) if one.data_path == path]
    values = channel.values
    if channel.name == "rotation_quaternion":
        near = np.array([[curve.evaluate(frame) for curve in curves] for frame in channel.frames])
        values = quaternions.nearest(values, near)
    for curve, column in zip(curves, values.T, strict=True):
        curve_copies.set_keys(curve, channel.frames, column)
