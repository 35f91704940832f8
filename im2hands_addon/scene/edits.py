"""Carries what a person keyed on a take's rigs into the rigs of the next import.

Importing a take again makes new rigs with new motion, for example after another smoothing. A person's action above the
clean motion is assigned to the new rig as it is. What was keyed in the clean motion itself is found by comparing it
with the keys as they were imported: it becomes such a layer. Other curves and NLA tracks are copied. What cannot be
kept in force (corrective shapes, the raw motion) stays as a muted NLA track. All of it is told, also where the new
clean motion lies elsewhere than the one on which a person's keys were set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import bpy
import numpy as np

from . import animation, blender_versions, conform, curve_copies, key_changes, layer_curves, layers, rotation_curves
from .markers import doubtful_runs
from .ownership import ROLE, role_of

BEFORE = "Before re-run"
"""Name of the muted NLA track with an action that could not be carried over."""

_FAR_M = 0.005  # a person is told where the motion below their keys moved by more


@dataclass
class Track:
    """An NLA track of the person: its name, whether it is muted, and the values of its strips."""

    name: str
    mute: bool
    strips: list[dict[str, object]]


@dataclass
class Top:
    """A person's assigned action above the clean motion, or in place of it, and how it is blended.

    Parameters
    ----------
    action : bpy.types.Action or None
        The action; None where the layer is empty.
    slot : str
        Identifier of the slot; "" before Blender 4.4.
    blending : dict
        Settings of the animation data.
    had_fake_user : bool
        Whether the action had a fake user.
    """

    action: bpy.types.Action | None
    slot: str
    blending: dict[str, object]
    had_fake_user: bool

    @property
    def is_combined(self) -> bool:
        """Whether it is combined with what lies below."""
        return self.blending["action_blend_type"] == "COMBINE"


@dataclass
class Edits:
    """What a person keyed on one rig, or on the shape keys of its mesh.

    Parameters
    ----------
    channels : list of key_changes.Channel
        Changes of the clean motion itself.
    curves : list of curve_copies.CurveCopy
        Curves of properties that the add-on does not animate; frames of the take.
    below, above : list of Track
        NLA tracks below and above the clean motion.
    poses : dict
        Bone -> values that have no keys, by property.
    modes : dict
        Bone -> rotation mode.
    top : Top, optional
        The person's layer; None where the clean motion is the assigned action.
    kept : list of bpy.types.Action
        Actions that cannot be kept in force.
    joints : layer_curves.Joints, optional
        Where the clean motion below the person's keys was.
    """

    channels: list[key_changes.Channel] = field(default_factory=list)
    curves: list[curve_copies.CurveCopy] = field(default_factory=list)
    below: list[Track] = field(default_factory=list)
    above: list[Track] = field(default_factory=list)
    poses: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    top: Top | None = None
    kept: list[bpy.types.Action] = field(default_factory=list)
    joints: layer_curves.Joints | None = None

    @property
    def layers(self) -> list[bpy.types.Action]:
        """The actions that the person's layers are made of, on scene frames."""
        strips = [strip for track in (*self.below, *self.above) for strip in track.strips]
        tops = [self.top.action] if self.top is not None and self.top.action is not None else []
        return tops + [one["action"] for one in strips if _is_layer(one["action"])]


@dataclass
class Layered:
    """What a person's layers above a new clean motion change.

    Parameters
    ----------
    bones : dict
        Bone -> frames of the take.
    moved : dict
        Frame -> how far the clean motion below the keys moved, metres; only frames where it moved far.
    """

    bones: dict[str, set[int]] = field(default_factory=dict)
    moved: dict[int, float] = field(default_factory=dict)


def _is_layer(action: bpy.types.Action | None) -> bool:
    return action is not None and role_of(action) == layers.EDITS


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
    animated.use_tweak_mode = False  # in it the assigned action is that of a strip
    _, to_take = conform.maps(collection)
    is_rig = isinstance(owner, bpy.types.Object)
    clean, top = layers.clean_action(owner), layers.person_layer(owner)
    if clean is not None and key_changes.is_known(clean):
        if is_rig:
            found.channels = key_changes.changed_channels(owner, clean, to_take)
            found.curves = key_changes.other_curves(owner, clean, to_take)
        elif key_changes.is_changed(owner, clean, to_take):
            found.kept.append(clean)
    if is_rig:
        found.poses, found.modes = _unkeyed(owner, clean), {one.name: one.rotation_mode for one in owner.pose.bones}
        if top is not None or layers.is_lifted(owner):
            found.top = _read_top(animated, top)
    elif top is not None:
        found.kept.append(top)
    _read_tracks(owner, to_take, found, is_below=clean is not None and clean == animated.action)
    for one in found.kept:
        one.use_fake_user = True
    if is_rig and (found.channels or found.layers):
        found.joints = layer_curves.Joints.of(owner)
    return found


def _read_top(animated: bpy.types.AnimData, action: bpy.types.Action | None) -> Top:
    names = ("action_blend_type", "action_extrapolation", "action_influence")
    had = action is not None and action.use_fake_user
    if action is not None:
        action.use_fake_user = True
    return Top(action, blender_versions.slot_name(animated), {name: getattr(animated, name) for name in names}, had)


def _read_tracks(owner: bpy.types.ID, to_take: conform.Map, found: Edits, is_below: bool) -> None:
    """Read the NLA tracks; those before the strip of the clean motion are below it, or all where that is assigned."""
    is_below = is_below or layers.is_lifted(owner)
    for track in owner.animation_data.nla_tracks:
        actions = [strip.action for strip in track.strips if strip.action is not None]
        if any(role_of(one) == layers.RAW for one in actions):
            known = [one for one in actions if key_changes.is_known(one)]
            found.kept += [one for one in known if key_changes.is_changed(owner, one, to_take)]
        elif any(role_of(one) == layers.CLEAN for one in actions):
            is_below = False
        elif track.name.startswith(BEFORE):
            found.kept += actions
        else:
            strips = [curve_copies.read_strip(strip) for strip in track.strips]
            (found.below if is_below else found.above).append(Track(track.name, track.mute, strips))
            for one in actions:
                one.use_fake_user = True


def _unkeyed(rig: bpy.types.Object, clean: bpy.types.Action | None) -> dict[str, dict[str, tuple[float, ...]]]:
    """Bone -> the sizes and places that a person set without keys."""
    keyed = {curve.data_path for curve in animation.action_curves(clean)} if clean is not None else set()
    keyed |= {curve.data_path for curve in animation.curves(rig)}
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for bone in rig.pose.bones:
        for name, default in (("scale", 1.0), ("location", 0.0)):
            value = tuple(getattr(bone, name))
            if f"{bone.path_from_id()}.{name}" not in keyed and any(one != default for one in value):
                found.setdefault(bone.name, {})[name] = value
    return found


def move_layers(edits: Sequence[Edits], change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Move the keys of persons' layers in time, each action once.

    Parameters
    ----------
    edits : sequence of Edits
        What was keyed on all rigs of a take.
    change : callable
        Frames (N,) -> new frames (N,).
    """
    for action in dict.fromkeys(action for one in edits for action in one.layers):
        for curve in animation.all_curves(action):
            animation.move_keys(curve, change)


def write_edits(collection: bpy.types.Collection, owner: bpy.types.ID | None, edits: Edits) -> Layered:
    """Write what a person keyed into a new rig or new shape keys.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    owner : bpy.types.ID or None
        The new rig or shape keys, with their motion; None if there are none any more: then the actions stay in the
        file with a fake user.
    edits : Edits
        What the person keyed; its layers have their keys on frames of the take.

    Returns
    -------
    Layered
        What the person's layers change, and where the motion below them moved.
    """
    for action in edits.kept:
        action.pop(ROLE, None)
    if owner is None:
        return Layered()
    action = animation.own_action(owner)[0]
    for curve in edits.curves:
        curve_copies.paste_curve(action, curve)
    for bone, values in edits.poses.items():
        for name, value in values.items():
            if bone in owner.pose.bones:
                setattr(owner.pose.bones[bone], name, value)
    for bone, mode in edits.modes.items():
        if bone in owner.pose.bones:
            rotation_curves.convert(owner, owner.pose.bones[bone], mode)
    _paste_tracks(owner, edits.below)
    layered = Layered()
    if edits.top is not None or edits.channels:
        layered = _write_layers(collection, owner, edits)
    for kept in edits.kept:
        animation.put_below(owner, kept, BEFORE)
        owner.animation_data.nla_tracks[-1].name = BEFORE
        owner.animation_data.nla_tracks[-1].mute = True
        kept.use_fake_user = False
    return layered


def _paste_tracks(owner: bpy.types.ID, tracks: Sequence[Track]) -> None:
    for track in tracks:
        new = owner.animation_data.nla_tracks.new()
        new.name, new.mute = track.name, track.mute
        for values in track.strips:
            curve_copies.paste_strip(new, values)
            if values["action"] is not None:
                values["action"].use_fake_user = False
                if _is_layer(values["action"]):
                    animation.fit_strip(new.strips[-1])


def _write_layers(collection: bpy.types.Collection, rig: bpy.types.Object, edits: Edits) -> Layered:
    """Lift the clean motion, and put the person's layers above it."""
    layers.lift(rig)
    after = layer_curves.Joints.of(rig)
    animated, top, edited = rig.animation_data, edits.top, []
    if edits.channels:
        direct = layers.new_layer(collection, rig)
        for channel in edits.channels:
            if channel.bone in rig.pose.bones:
                layer_curves.write_offsets(rig, direct, channel)
        edited.append((animation.action_curves(direct), True))
        if top is None or top.action is None:
            top = Top(direct, "", {"action_blend_type": "COMBINE"}, False)
        else:
            animation.put_below(rig, direct, "Edits").blend_type = "COMBINE"
    _paste_tracks(rig, edits.above)
    edited += [(animation.action_curves(strip.action), True) for _, strip in layers.strips(rig)
               if _is_layer(strip.action)]  # fmt: skip
    if top.action is not None:
        animated.action = top.action
        blender_versions.use_slot_named(animated, top.slot)
        top.action.use_fake_user = top.had_fake_user
        edited.append((animation.curves(rig), top.is_combined))
    for name, value in top.blending.items():
        setattr(animated, name, value)
    found = Layered()
    for curves, is_combined in edited if after is not None else ():
        frames = np.arange(after.frames[0], after.frames[-1] + 1)  # keys may lie between the frames of the take
        at = layer_curves.edited_frames(rig, curves, frames, is_combined=is_combined)
        moved = edits.joints.moved(after, at) if edits.joints is not None else {}
        for bone, frames in at.items():
            found.bones.setdefault(bone, set()).update(int(frame) for frame in frames)
        for frame, far in moved.items():
            if far > _FAR_M:
                found.moved[frame] = max(far, found.moved.get(frame, 0.0))
    return found


def words(side: str, edits: Sequence[Edits], layered: Layered, is_there: bool) -> list[str]:
    """Tell a person what became of their keys.

    Parameters
    ----------
    side : str
        "left" or "right".
    edits : sequence of Edits
        What was keyed on the rig and on the shape keys of the hand.
    layered : Layered
        What the layers of the rig change.
    is_there : bool
        Whether the new take has this hand.

    Returns
    -------
    list of str
        One message for each way in which keys were kept.
    """
    told = []
    tracks = [track.name for one in edits for track in (*one.below, *one.above)]
    others = [*(curve.path for one in edits for curve in one.curves), *tracks]
    tops = [one.top.action.name for one in edits if one.top is not None and one.top.action is not None]
    kept = [action.name for one in edits for action in one.kept]
    if not is_there:
        names = ", ".join([*tops, *kept])
        return [f"The take has no {side} hand any more. Your keys on it stay in the action {names}."] if names else []
    if layered.bones:
        frames = sorted(set().union(*layered.bones.values()))
        told.append(
            f"Your changes to the {side} hand were kept above the new clean motion: "
            f"frames {_runs(frames)} ({', '.join(sorted(layered.bones))})."
        )
    if layered.moved:
        told.append(
            f"Check frames {_runs(sorted(layered.moved))} of the {side} hand: the clean motion below your keys moved "
            f"by up to {1000 * max(layered.moved.values()):.0f} mm there."
        )
    if others:
        told.append(f"Your animation of the {side} hand was kept: {', '.join(sorted(set(others)))}.")
    if kept:
        told.append(
            f"Your changes to {', '.join(kept)} do not fit the new motion of the {side} hand. "
            f'They were kept as the muted NLA track "{BEFORE}".'
        )
    return told


def _runs(frames: Sequence[int]) -> str:
    """Frames as text, such as "3-7, 12"."""
    runs = doubtful_runs(dict.fromkeys(frames, "changed"), 1)
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last, _ in runs)


def keep_whole(owner: bpy.types.ID, edits: Edits) -> None:
    """Keep the whole action of a hand that the new take has not, if the person keyed anything in it."""
    action = layers.clean_action(owner)
    if (edits.channels or edits.curves) and action is not None and action not in edits.kept:
        action.use_fake_user = True
        edits.kept.append(action)
