"""Tools for a person's layer above the clean motion: hold a pose, retime, mirror to the other hand, ease an edit out.

Each tool computes the pose that a hand is to have on a range of frames, and writes the offset from the motion below
into the layer. Before and after the range the offset fades out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from ..errors import InputError
from ..take import quaternions
from ..take.reader import SIDES
from . import animation, blender_versions, clean, layer_curves, layers, sampling
from .meshes import SIDE_LETTER
from .ownership import require_local
from .rotation_curves import to_euler

Bones = Literal["ALL", "FINGERS", "SELECTED"]


@dataclass(frozen=True)
class Span:
    """A range of scene frames, and how many frames before and after it an edit fades."""

    first: int
    last: int
    ease: int = 5

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InputError(f"The frames {self.first} to {self.last} run backwards.", "Give the first frame first.")
        if self.ease < 1:
            raise InputError("An edit fades over at least one frame.", "Give 1 or more.")

    @property
    def frames(self) -> range:
        """All frames that may change, fading included."""
        return range(self.first - self.ease, self.last + self.ease + 1)

    @property
    def weights(self) -> np.ndarray:
        """How far the edit holds on each of the frames: (N,), 0 on the first and the last, 1 within the range."""
        frames = np.array(self.frames, float)
        outside = np.maximum(np.maximum(self.first - frames, frames - self.last), 0.0) / self.ease
        return 1.0 - outside * outside * (3.0 - 2.0 * outside)


class _Poses:
    """The visible motion of a rig on some frames, and the motion below the person's layer.

    All are pose channels: locations (N, B, 3) and rotations (N, B, 4).
    """

    def __init__(self, collection: bpy.types.Collection, rig: bpy.types.Object, frames: range) -> None:
        layers.ensure_layer(collection, rig)
        animated = rig.animation_data
        if animated.action_blend_type != "COMBINE":
            raise InputError(
                f"The action {animated.action.name} of {rig.name} replaces the clean motion.",
                'Set its blending to "Combine" in the NLA editor.',
            )
        self.rig, self.frames = rig, frames
        self.bones, self.locations, self.rotations = self._sampled()
        influence, animated.action_influence = animated.action_influence, 0.0
        try:
            _, self.locations_below, self.rotations_below = self._sampled()
        finally:
            animated.action_influence = influence

    def _sampled(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        samples = sampling.sample(self.rig, None, self.frames)
        own = np.linalg.inv(samples.place)[:, None] @ samples.world
        return samples.bones, *sampling.channels_of(samples, own)

    def impose(self, weights: np.ndarray, wanted: dict[str, tuple[np.ndarray | None, np.ndarray]]) -> None:
        """Write offsets that give bones certain channels.

        Parameters
        ----------
        weights : (N,) array
            How far they are reached on each frame; elsewhere the visible motion stays.
        wanted : dict
            Bone -> locations (N, 3) or None, and rotations (N, 4).
        """
        action, slot = animation.own_action(self.rig)
        for name, (locations, rotations) in wanted.items():
            bone, column = self.rig.pose.bones[name], self.bones.index(name)
            near = quaternions.nearest(rotations, self.rotations[:, column])
            turned = quaternions.normalized(_mixed(self.rotations[:, column], near, weights))
            below = self.rotations_below[:, column]
            if bone.rotation_mode == "AXIS_ANGLE":
                raise InputError(f"{name} turns about an axis and an angle.", "Set its rotation mode to Quaternion.")
            if bone.rotation_mode == "QUATERNION":
                values, path = quaternions.offsets(below, turned), "rotation_quaternion"
            else:
                numbers = np.array(self.frames)
                base = to_euler(below, bone.rotation_mode, numbers, {})
                near_to = dict(zip(numbers.tolist(), base, strict=True))
                values, path = to_euler(turned, bone.rotation_mode, numbers, near_to) - base, "rotation_euler"
            self._write(action, slot, bone, path, values)
            if locations is not None:
                there = _mixed(self.locations[:, column], locations, weights)
                self._write(action, slot, bone, "location", there - self.locations_below[:, column])

    def _write(
        self, action: bpy.types.Action, slot: object, bone: bpy.types.PoseBone, name: str, values: np.ndarray
    ) -> None:
        keys = animation.Keys(np.array(self.frames), interpolation="LINEAR")
        animation.replace_values(
            action, bone.path_from_id(name), keys, values, group=bone.name, slot=slot, span=self.frames
        )


def _mixed(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return one + weights[:, None] * (other - one)


def _rigs(collection: bpy.types.Collection, sides: Collection[str]) -> dict[str, bpy.types.Object]:
    require_local(collection)
    return clean.require_rigs(collection, sides)


def _chosen(rig: bpy.types.Object, which: Bones) -> list[str]:
    """Names of the bones of a rig that a tool works on."""
    if which == "SELECTED":
        return blender_versions.selected_bones(rig)
    names = [bone.name for bone in rig.data.bones]
    return [one for one in names if which == "ALL" or not one.startswith(("forearm", "hand"))]


def _is_root(rig: bpy.types.Object, bone: str) -> bool:
    return rig.data.bones[bone].parent is None


def hold(
    collection: bpy.types.Collection,
    frame: int,
    first: int,
    last: int,
    *,
    ease: int = 5,
    sides: Collection[str] = SIDES,
    bones: Bones = "FINGERS",
) -> None:
    """Hold the pose of one frame over a range.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        Scene frame of the pose.
    first, last : int
        First and last scene frame on which it is held.
    ease : int
        Number of frames over which it fades before and after the range.
    sides : collection of str
        The hands.
    bones : {"ALL", "FINGERS", "SELECTED"}
        "ALL" holds the hand in space too, "FINGERS" only the fingers, "SELECTED" the selected bones.

    Raises
    ------
    InputError
        The range runs backwards, the take has no rigged hands, or is linked from another file.
    """
    span = Span(first, last, ease)
    _retimed(collection, span, np.full(len(span.frames), float(frame)), sides, bones)


def retime(
    collection: bpy.types.Collection,
    frame: int,
    to: int,
    first: int,
    last: int,
    *,
    sides: Collection[str] = SIDES,
) -> None:
    """Move what happens on one frame to another one; the motion before and after it is stretched or squeezed.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        Scene frame of what is moved.
    to : int
        Scene frame on which it is to happen.
    first, last : int
        The scene frames outside of which nothing changes; both frames are between them.
    sides : collection of str
        The hands.

    Raises
    ------
    InputError
        The frames are not in this order, the take has no rigged hands, or is linked from another file.
    """
    if not (first < frame < last and first < to < last):
        raise InputError(f"Frames {frame} and {to} are not between {first} and {last}.", "Give a longer range.")
    span = Span(first + 1, last - 1, 1)
    _retimed(collection, span, np.interp(np.array(span.frames), [first, to, last], [first, frame, last]), sides, "ALL")


def _retimed(
    collection: bpy.types.Collection, span: Span, sources: np.ndarray, sides: Collection[str], bones: Bones
) -> None:
    """Give each frame of a span the pose of another frame (N,), which need not be whole."""
    rigs = _rigs(collection, sides)
    chosen = {side: _chosen(rig, bones) for side, rig in rigs.items()}
    if not any(chosen.values()):
        raise InputError("No bones of the hands are selected.", "Select bones in Pose Mode.")
    wide = range(int(min(span.frames[0], sources.min())), int(max(span.frames[-1], np.ceil(sources.max()))) + 1)
    for side, rig in rigs.items():
        far = _Poses(collection, rig, wide)
        near = _Poses(collection, rig, span.frames) if wide != span.frames else far
        at = np.array(wide, float)
        wanted = {}
        for name in chosen[side]:
            column = far.bones.index(name)
            turns = _between(at, quaternions.continuous(far.rotations[:, column]), sources)
            places = _between(at, far.locations[:, column], sources) if _is_root(rig, name) else None
            wanted[name] = (places, quaternions.normalized(turns))
        near.impose(span.weights, wanted)


def _between(at: np.ndarray, values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(frames, at, column) for column in values.T], axis=1)


def mirror(
    collection: bpy.types.Collection,
    side: str,
    first: int,
    last: int,
    *,
    ease: int = 5,
    bones: Bones = "FINGERS",
) -> None:
    """Give the other hand the mirrored fingers of one hand over a range; the other hand stays where it is in space.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    side : str
        The hand that is mirrored, "left" or "right".
    first, last : int
        First and last scene frame.
    ease : int
        Number of frames over which it fades before and after the range.
    bones : {"ALL", "FINGERS", "SELECTED"}
        "ALL" mirrors the wrist too, "FINGERS" the fingers, "SELECTED" the selected bones of that hand.

    Raises
    ------
    InputError
        The range runs backwards, the take lacks a hand, or is linked from another file.
    """
    rigs = _rigs(collection, SIDES)
    if len(rigs) < 2 or side not in rigs:
        raise InputError(f"{collection.name} has only one hand.", "Mirroring needs both.")
    span = Span(first, last, ease)
    other_side = next(one for one in SIDES if one != side)
    source, target = rigs[side], rigs[other_side]
    names = [one for one in _chosen(source, bones) if not _is_root(source, one)]
    if not names:
        raise InputError("No bones of the hand are selected.", "Select bones in Pose Mode.")
    seen, poses = _Poses(collection, source, span.frames), _Poses(collection, target, span.frames)
    wanted = {}
    for name in names:
        other = name.removesuffix(SIDE_LETTER[side]) + SIDE_LETTER[other_side]
        if other in poses.bones:
            turns = _mirrored(source, name, target, other, seen.rotations[:, seen.bones.index(name)])
            wanted[other] = (None, turns)
    poses.impose(span.weights, wanted)


def _mirrored(
    source: bpy.types.Object, name: str, target: bpy.types.Object, other: str, turns: np.ndarray
) -> np.ndarray:
    """The rotations (N, 4) of a bone, in its rest axes, as those of the bone of the other hand, in a mirror."""
    axes = [np.array(rig.data.bones[bone].matrix_local)[:3, :3] for rig, bone in ((source, name), (target, other))]
    through = axes[1].T @ np.diag([-1.0, 1.0, 1.0]) @ axes[0]
    # A mirrored rotation turns by the same angle, the other way about the mirrored axis.
    return np.concatenate([turns[:, :1], -turns[:, 1:] @ through.T], axis=1)


def ease_out(
    collection: bpy.types.Collection, frame: int, first: int, last: int, *, sides: Collection[str] = SIDES
) -> None:
    """Fade what was keyed on one frame out towards the ends of a range; keys of the layer in between are replaced.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        Scene frame of the edit.
    first, last : int
        Scene frames on which nothing of it is left.
    sides : collection of str
        The hands.

    Raises
    ------
    InputError
        The frame is not in the range, nothing is keyed above the clean motion, or the take is linked.
    """
    if not first < frame < last:
        raise InputError(f"Frame {frame} is not between {first} and {last}.", "Give a longer range.")
    found = False
    for rig in _rigs(collection, sides).values():
        action = layers.person_layer(rig)
        if action is None or not layers.is_lifted(rig):
            continue
        for curve in animation.curves(rig):
            if not curve.data_path.startswith("pose.bones"):
                continue
            found = True
            none, value = layer_curves.neutral(curve), curve.evaluate(frame)
            for point in [one for one in curve.keyframe_points if first - 0.5 < one.co[0] < last + 0.5][::-1]:
                curve.keyframe_points.remove(point, fast=True)
            for at, key in ((first, none), (frame, value), (last, none)):
                point = curve.keyframe_points.insert(at, key, options={"FAST"})
                point.interpolation = "BEZIER"
                point.handle_left_type = point.handle_right_type = "AUTO_CLAMPED"
            curve.update()
    if not found:
        raise InputError("Nothing is keyed above the clean motion.", "Use Edit Above Clean, and key a bone.")
