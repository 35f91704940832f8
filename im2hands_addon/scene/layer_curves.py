"""A person's layer above the clean motion as curves: offsets that are combined with what lies below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Quaternion

from ..take import quaternions
from . import animation, key_changes, layers

_SAME = 1e-5  # radians, metres, or what a component of a quaternion differs by; less is no offset


def write_offsets(rig: bpy.types.Object, action: bpy.types.Action, channel: key_changes.Channel) -> None:
    """Write what a person changed in the clean motion as offsets from it; there is none on frames without a change.

    Parameters
    ----------
    rig : bpy.types.Object
        The rig, in the rotation mode that its curves have.
    action : bpy.types.Action
        The action of the layer.
    channel : Channel
        What was changed.
    """
    bone = rig.pose.bones[channel.bone]
    keys = animation.Keys(channel.frames, interpolation="LINEAR")
    name = channel.name
    if name == "location":
        values = np.where(channel.changed[:, None], channel.now - channel.was, 0.0)
    elif bone.rotation_mode == "QUATERNION":
        values = quaternions.offsets(channel.was, channel.now)
        values = np.where(channel.changed[:, None], values, [1.0, 0.0, 0.0, 0.0])
    else:
        name, values = "rotation_euler", np.zeros((len(channel.frames), 3))
        for row in np.flatnonzero(channel.changed):
            was = Quaternion(channel.was[row]).to_euler(bone.rotation_mode)
            now = Quaternion(channel.now[row]).to_euler(bone.rotation_mode, was)
            values[row] = np.array(now) - np.array(was)
    animation.write_values(action, bone.path_from_id(name), keys, values, group=channel.bone)


@dataclass(frozen=True)
class Joints:
    """Where the bones of a rig are in its clean motion as imported.

    Parameters
    ----------
    frames : (N,) array
        Frames of the take.
    bones : tuple of B str
        Names of the bones.
    ends : (N, B, 2, 3) array
        Heads and tails in the space of the rig, metres.
    """

    frames: np.ndarray
    bones: tuple[str, ...]
    ends: np.ndarray

    @classmethod
    def of(cls, rig: bpy.types.Object) -> Joints | None:
        """Compute them; None for a rig without clean motion."""
        action = layers.clean_action(rig)
        if action is None or not key_changes.is_known(action):
            return None
        frames, values = key_changes.imported_frames(action), key_changes.imported_values(action)
        ordered = [bone for bone in rig.data.bones if bone.parent is None]
        for bone in ordered:  # the list grows during the loop
            ordered.extend(bone.children)
        poses: dict[str, np.ndarray] = {}
        ends = np.empty((len(frames), len(ordered), 2, 3))
        for number, bone in enumerate(ordered):
            rest = np.array(bone.matrix_local)
            pose = np.tile(np.eye(4), (len(frames), 1, 1))
            path = rig.pose.bones[bone.name].path_from_id()
            if (f"{path}.rotation_quaternion", 0) in values:
                turns = np.stack([values[f"{path}.rotation_quaternion", k] for k in range(4)], axis=1)
                axes = [quaternions.rotated(quaternions.normalized(turns), axis) for axis in np.eye(3)]
                pose[:, :3, :3] = np.stack(axes, axis=-1)
            if (f"{path}.location", 0) in values:
                pose[:, :3, 3] = np.stack([values[f"{path}.location", k] for k in range(3)], axis=1)
            above = rest if bone.parent is None else _from_parent(poses, bone, rest)
            poses[bone.name] = above @ pose
            ends[:, number, 0] = poses[bone.name][:, :3, 3]
            ends[:, number, 1] = (poses[bone.name] @ [0.0, bone.length, 0.0, 1.0])[:, :3]
        return cls(frames, tuple(bone.name for bone in ordered), ends)

    def moved(self, after: Joints, edited: Mapping[str, np.ndarray]) -> dict[int, float]:
        """Find the edited frames below which the clean motion moved.

        Parameters
        ----------
        after : Joints
            The joints of the new clean motion.
        edited : mapping
            Bone -> the frames on which a person's layer changes it.

        Returns
        -------
        dict
            Frame -> how far the joints of an edited bone moved at most, metres; only frames within both motions.
        """
        first, last = max(self.frames[0], after.frames[0]), min(self.frames[-1], after.frames[-1])
        found: dict[int, float] = {}
        for bone, frames in edited.items():
            there = frames[(frames >= first) & (frames <= last)]
            if bone in self.bones and bone in after.bones and len(there):
                far = np.linalg.norm(self._at(bone, there) - after._at(bone, there), axis=-1).max(axis=-1)
                for frame, distance in zip(there.tolist(), far.tolist(), strict=True):
                    found[int(frame)] = max(found.get(int(frame), 0.0), distance)
        return found

    def _at(self, bone: str, frames: np.ndarray) -> np.ndarray:
        """Head and tail of a bone on some frames (K,): (K, 2, 3)."""
        ends = self.ends[:, self.bones.index(bone)].reshape(len(self.frames), -1)
        return np.stack([np.interp(frames, self.frames, column) for column in ends.T], axis=1).reshape(-1, 2, 3)


def _from_parent(poses: Mapping[str, np.ndarray], bone: bpy.types.Bone, rest: np.ndarray) -> np.ndarray:
    return poses[bone.parent.name] @ (np.linalg.inv(np.array(bone.parent.matrix_local)) @ rest)


def neutral(curve: bpy.types.FCurve) -> float:
    """The value with which a curve of a combined layer changes nothing."""
    name = curve.data_path.rpartition(".")[2]
    return 1.0 if name == "scale" or (name == "rotation_quaternion" and curve.array_index == 0) else 0.0


def edited_frames(
    rig: bpy.types.Object, curves: Sequence[bpy.types.FCurve], frames: np.ndarray, *, is_combined: bool
) -> dict[str, np.ndarray]:
    """Find where a person's layer changes the bones of a rig.

    Parameters
    ----------
    rig : bpy.types.Object
        The rig.
    curves : sequence of bpy.types.FCurve
        The curves of the layer, on frames of the take.
    frames : (N,) array
        Frames of the take.
    is_combined : bool
        Whether the layer is combined with what lies below, so that it changes nothing where it is without a turn.
        Otherwise it changes its bones on its keys.

    Returns
    -------
    dict
        Bone -> the frames, ascending.
    """
    found: dict[str, np.ndarray] = {}
    for bone in rig.pose.bones:
        base, there = f"{bone.path_from_id()}.", np.zeros(len(frames), bool)
        for curve in curves:
            name = curve.data_path.removeprefix(base)
            if name == curve.data_path or not len(curve.keyframe_points):
                continue
            if not is_combined:
                there |= np.isin(frames, np.round(animation.read_values(curve)[0]))
                continue
            values = np.array([curve.evaluate(frame) for frame in frames.tolist()])
            there |= np.abs(values - neutral(curve)) > _SAME
        if there.any():
            found[bone.name] = frames[there]
    return found
