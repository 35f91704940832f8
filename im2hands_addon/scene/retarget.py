"""Bakes a take's hands onto the rig of a character, with any rest pose and any bone axes. Only hands and fingers move.

:mod:`.retarget_hand` computes the rotations. The character's arm places its hand, unless the arm is in inverse
kinematics (IK). Then the IK control gets the location and the rotation of the take's hand in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import bpy
import numpy as np

from ..bone_maps import BoneMap, find_arms, find_map
from ..errors import InputError
from . import animation, blender_versions, clean, sampling
from .context import ensure_window
from .key_reduction import Channel, errors, reduced
from .ownership import ROLE, mark, role_of
from .retarget_hand import Control, HandBake

Into = Literal["ACTION", "NEW", "LAYER"]
_BAKE = "bake"  # role of an action that was made for a bake


@dataclass(frozen=True)
class Baked:
    """The result of a bake.

    Parameters
    ----------
    map_name : str
        Name of the bone map.
    bones : dict
        Side -> names of the target's bones that were keyed.
    wrists : dict
        Side -> what was keyed for the wrist, in words; "" for nothing.
    left_out : dict
        Side -> what was not keyed, in words.
    action : str
        Name of the action with the keys.
    key_count, frame_count : int
        Numbers of keys and of frames, over all properties.
    degrees, millimetres : float
        Largest difference of a bone's own rotation, and of an IK control's place, from the motion without reduction.
    """

    map_name: str
    bones: dict[str, list[str]]
    wrists: dict[str, str]
    left_out: dict[str, list[str]]
    action: str = ""
    key_count: int = 0
    frame_count: int = 0
    degrees: float = 0.0
    millimetres: float = 0.0

    def told(self, target: str) -> str:
        """Say in words what was keyed and what was not.

        Parameters
        ----------
        target : str
            Name of the character's armature.

        Returns
        -------
        str
            The sentences.
        """
        count = sum(map(len, self.bones.values()))
        parts = [f"Baked {count} bones of {target} ({self.map_name})."]
        for side, bones in self.bones.items():
            keyed = ", ".join(one for one in (self.wrists[side], f"{len(bones)} bones in all") if one)
            missed = ", ".join(self.left_out[side])
            parts.append(f"{side.capitalize()} hand: {keyed}" + (f"; not keyed: {missed}." if missed else "."))
        if self.key_count < self.frame_count:
            far = f" and {self.millimetres:.1f} mm" if self.millimetres else ""
            parts.append(
                f"{self.key_count} of {self.frame_count} keys: a bone is within {self.degrees:.2f} degrees{far}."
            )
        return " ".join(parts)


def bake_to_rig(
    collection: bpy.types.Collection,
    target: bpy.types.Object,
    *,
    bone_map: str | Path | BoneMap = "AUTO",
    frames: tuple[int, int] | None = None,
    scene: bpy.types.Scene | None = None,
    wrist: bool = True,
    sides: Sequence[str] = ("left", "right"),
    offset: int = 0,
    into: Into = "ACTION",
    reduce_degrees: float = 0.0,
) -> Baked:
    """Key the take's hand and finger rotations on the rig of a character.

    The keys of these bones on the baked frames are replaced. All other keys stay. Where an arm of the
    rig is in inverse kinematics on some frame, its IK control is keyed with the location and the rotation of the take's
    hand in the world; where it is in forward kinematics, the hand bone with the rotation.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    target : bpy.types.Object
        The character's armature object; a library override of a linked one is possible.
    bone_map : str, Path or BoneMap
        "AUTO" for the map that fits best, the identifier of a bundled map ("rigify_human", "rigify_metarig",
        "auto_rig_pro", "mixamo", "unreal_mannequin"), a map file, or a map.
    frames : tuple of int, optional
        First and last scene frame, inclusive; None for the scene's range.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.
    wrist : bool
        Whether to rotate the hand bones as the take's hands in the world; False keys only the fingers.
    sides : sequence of str
        The hands to bake, "left" and "right".
    offset : int
        How many frames later the keys are set than the take has the motion.
    into : {"ACTION", "NEW", "LAYER"}
        "ACTION" writes into the target's action. "NEW" writes into a copy of it, which is assigned. "LAYER" makes the
        target's action an NLA strip, and writes into an action above it, which later bakes go on using.
    reduce_degrees : float
        Keys are left out where a bone's own rotation stays within this many degrees, and the place of an IK control
        within what such a turn moves at 10 cm. 0 keys every frame.

    Returns
    -------
    Baked
        The map, and the bones that were keyed.

    Raises
    ------
    InputError
        The take has no rigged hands, the target cannot be keyed, or no map fits.
    """
    rigs = clean.require_rigs(collection, sides)
    if target is None or target.type != "ARMATURE" or ROLE in target:
        raise InputError("The target must be the armature of a character.", "Select it.")
    if target.library is not None:
        raise InputError(f"{target.name} is linked from another file.", "Make a library override of it first.")
    chosen, bones = find_map(bone_map, target.data.bones.keys())
    scene = scene or bpy.context.scene
    first, last = frames or (scene.frame_start, scene.frame_end)
    if last < first:
        raise InputError(f"There are no frames from {first} to {last}.")
    numbers = range(first, last + 1)
    shifted = range(first + offset, last + offset + 1)
    arms = find_arms(chosen, bones, target.data.bones.keys())
    baked, found = _Told(chosen.name), []
    with ensure_window():
        switches = {one for arm in arms.values() for one in arm.switches}
        there = sampling.sample(target, None, shifted, switches)
        for side, rig in rigs.items():
            if bones[side]:
                hand = HandBake(sampling.sample(rig, None, numbers), side, there, target, bones[side])
                control = Control(arms.get(side), there)
                channels = hand.channels(wrist, control)
                baked.bones[side] = list(dict.fromkeys(channel.bone for channel in channels))
                baked.wrists[side], baked.left_out[side] = hand.words(wrist, control)
                found += channels
        action, slot = _action(target, into, f"{collection.name} {target.name}")
        for channel in (_beside(one, action, slot, shifted[0]) for one in found):
            kept = reduced(channel, reduce_degrees)
            wrong = float(errors(channel, kept).max())
            baked.add(channel, len(kept), wrong)
            keys = animation.Keys(np.array(shifted)[kept], interpolation="LINEAR")
            animation.replace_values(
                action, channel.path, keys, channel.values[kept], group=channel.bone, slot=slot, span=shifted
            )
        scene.frame_set(scene.frame_current)
    return baked.result(action.name)


def _beside(channel: Channel, action: bpy.types.Action, slot: object, frame: int) -> Channel:
    """The channel, its rotations counted so that they go on from keys of the same curves before ``frame``."""
    there = {one.array_index: one for one in animation.action_curves(action, slot) if one.data_path == channel.path}
    if channel.is_location or len(there) != channel.values.shape[1]:
        return channel
    before = np.array([there[index].evaluate(frame - 1) for index in range(len(there))])
    if channel.kind == "QUATERNION":
        values = channel.values * (-1.0 if before @ channel.values[0] < 0.0 else 1.0)
    else:
        values = channel.values + np.round((before - channel.values[0]) / (2.0 * np.pi)) * (2.0 * np.pi)
    return replace(channel, values=values)


def _action(target: bpy.types.Object, into: Into, name: str) -> tuple[bpy.types.Action, object]:
    """The action that the bake writes into, assigned to the target, and the slot."""
    animated = target.animation_data or target.animation_data_create()
    had = animated.action
    if into == "NEW" and had is not None:
        slot = blender_versions.slot_name(animated)
        animated.action, had.use_fake_user = had.copy(), True
        animated.action.name = name
        blender_versions.use_slot_named(animated, slot)
    elif into == "LAYER" and (had is None or role_of(had) != _BAKE):
        if had is not None:
            slot = blender_versions.slot_name(animated)
            animated.action = None
            blender_versions.use_slot_named(animation.put_below(target, had, had.name), slot)
        animation.assign(target, animation.new_action(target, name))
        mark(animated.action, _BAKE)
    return animation.own_action(target)


class _Told:
    """Collects what the result of a bake says."""

    def __init__(self, map_name: str) -> None:
        self.map_name = map_name
        self.bones: dict[str, list[str]] = {}
        self.wrists: dict[str, str] = {}
        self.left_out: dict[str, list[str]] = {}
        self.counts = [0, 0]
        self.worst = {True: 0.0, False: 0.0}

    def add(self, channel: Channel, keys: int, wrong: float) -> None:
        """Count the keys of a channel."""
        self.counts = [self.counts[0] + keys, self.counts[1] + len(channel.values)]
        self.worst[channel.is_location] = max(wrong, self.worst[channel.is_location])

    def result(self, action: str) -> Baked:
        """The result."""
        return Baked(
            self.map_name, self.bones, self.wrists, self.left_out, action, *self.counts, self.worst[False],
            self.worst[True],
        )  # fmt: skip
