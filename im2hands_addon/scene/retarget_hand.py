"""The rotations that a hand of a character needs to look like a hand of a take: the mathematics of the bake.

For each bone the rotation between the two rest poses is computed once. The two hands are aligned by wrist and knuckles,
then each finger bone is aligned by its direction. With these offsets the character's bones point in the same world
directions as the take's. Hand bones of the character that are not in the bone map are assumed to be at rest.

Terms: the *source* is the take's rig, the *target* is the character's.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector

from ..bone_maps import HAND, Arm
from ..errors import InputError
from ..take import quaternions
from . import sampling
from .key_reduction import Channel
from .meshes import SIDE_LETTER
from .rotation_curves import to_euler

_FOREARM = "forearm"
_KNUCKLES = ("f_index.01", "f_middle.01", "f_ring.01", "f_pinky.01")


class Control:
    """What an arm of the target follows; ``there`` are the samples of the target."""

    def __init__(self, arm: Arm | None, there: sampling.RigSamples) -> None:
        known = [there.properties[one] for one in arm.switches if one in there.properties] if arm is not None else []
        self.name = arm.control if arm is not None and known else ""
        # Between 0 and 1 the arm follows both.
        self.is_ik = bool(known) and bool((known[0] < 1.0).any())
        self.is_fk = not known or bool((known[0] > 0.0).any())


class HandBake:
    """One hand of the bake.

    All rotations are quaternions (..., 4). Poses of the source are in world space, poses of the target in the space of
    its armature. ``there`` are the samples of the target, ``names`` maps our bones to the target's.
    """

    def __init__(
        self,
        source: sampling.RigSamples,
        side: str,
        there: sampling.RigSamples,
        target: bpy.types.Object,
        names: dict[str, str],
    ) -> None:
        suffix = f".{SIDE_LETTER[side]}"
        self.source = {name.removesuffix(suffix): number for number, name in enumerate(source.bones)}
        self.samples, self.there, self.target = source, there, target
        self.number = {name: number for number, name in enumerate(there.bones)}
        self.names = {ours: other for ours, other in names.items() if ours in self.source}
        self.rest = quaternions.from_matrix(there.rest[:, :3, :3])
        self.heads = there.rest[:, :3, 3]
        self.source_rest = quaternions.from_matrix(source.rest[:, :3, :3])
        self.source_heads = source.rest[:, :3, 3]
        self.over = self._laid_over()

    def _laid_over(self) -> np.ndarray:
        """The rotation from the source's rest pose to the target's that aligns wrist and knuckles."""
        knuckles = [one for one in _KNUCKLES if one in self.names]
        if len(knuckles) < 2:
            raise InputError(
                f"The map finds {len(knuckles)} of {', '.join(_KNUCKLES)} in {self.target.name}; two are needed.",
                "Give a map that names them.",
            )
        own = [self.source[one] for one in knuckles]
        other = [self.number[self.names[one]] for one in knuckles]
        wrist = self.number[self.names[HAND]] if HAND in self.names else self._common_parent(other)
        ours = _frame(self.source_heads[self.source[HAND]], self.source_heads[own])
        theirs = _frame(self.heads[wrist], self.heads[other])
        return quaternions.from_matrix(theirs @ ours.T)

    def _common_parent(self, bones: Sequence[int]) -> int:
        """The nearest common ancestor of the target's bones."""
        chains = [self._ancestors(bone) for bone in bones]
        shared = [bone for bone in chains[0] if all(bone in chain for chain in chains)]
        if not shared:
            raise InputError(
                f"The fingers of {self.target.name} have no common parent bone.", "Give a map with a hand bone."
            )
        return shared[0]

    def _ancestors(self, bone: int) -> list[int]:
        """The ancestors of a target's bone, nearest first."""
        found = []
        while (bone := int(self.there.parents[bone])) >= 0:
            found.append(bone)
        return found

    def _direction(self, ours: str) -> np.ndarray:
        """Direction (3,) of the target's bone at rest, to the next joint. Tails of imported rigs are meaningless."""
        bone = self.number[self.names[ours]]
        chain, _, place = ours.rpartition(".")
        following = f"{_KNUCKLES[int(place) - 1]}" if chain == "palm" else f"{chain}.{int(place) + 1:02d}"
        if following in self.names:
            return self.heads[self.number[self.names[following]]] - self.heads[bone]
        children = [k for k, parent in enumerate(self.there.parents) if parent == bone]
        if len(children) == 1 and np.linalg.norm(self.heads[children[0]] - self.heads[bone]) > 1e-6:
            return self.heads[children[0]] - self.heads[bone]
        previous = f"{chain}.{int(place) - 1:02d}"
        if previous in self.names:  # assume that the last bone has the same axes as the one before it
            before = self.number[self.names[previous]]
            along = quaternions.rotated(quaternions.inverse(self.rest[before]), self.heads[bone] - self.heads[before])
            return quaternions.rotated(self.rest[bone], along)
        return quaternions.rotated(self.rest[bone], np.array([0.0, 1.0, 0.0]))

    def _offset(self, ours: str) -> np.ndarray:
        """The constant rotation from the aligned source bone to the target's bone, in the axes of the source bone."""
        source = quaternions.product(self.over, self.source_rest[self.source[ours]])
        if ours != HAND:
            points = quaternions.rotated(source, np.array([0.0, 1.0, 0.0]))
            source = quaternions.product(quaternions.between(points, self._direction(ours)), source)
        return quaternions.product(quaternions.inverse(source), self.rest[self.number[self.names[ours]]])

    def channels(self, wrist: bool, control: Control) -> list[Channel]:
        """Compute what is to be keyed on the target's bones.

        Parameters
        ----------
        wrist : bool
            Whether to key the hand bone or the IK control too.
        control : Control
            What the arm follows.

        Returns
        -------
        list of Channel
            The values of their rotations on each frame, and of the location of an IK control.
        """
        world = quaternions.from_matrix(self.samples.world[..., :3, :3])
        armature = quaternions.from_matrix(_rotation(self.there.place))
        wanted = {}  # index of the target's bone -> pose (N, 4) in the space of its armature
        for ours, other in self.names.items():
            pose = quaternions.product(world[:, self.source[ours]], self._offset(ours))
            wanted[self.number[other]] = quaternions.product(quaternions.inverse(armature), pose)
        hand = self.number[self.names[HAND]] if HAND in self.names else None
        # The motion, from the rest pose on, of target bones that are at rest relative to the hand.
        if hand is not None:
            moved = quaternions.product(wanted[hand], quaternions.inverse(self.rest[hand]))
        else:
            laid = quaternions.product(self.over, self.source_rest[self.source[HAND]])
            pose = quaternions.product(quaternions.inverse(armature), world[:, self.source[HAND]])
            moved = quaternions.product(pose, quaternions.inverse(laid))
        found = []
        if hand is not None and wrist and control.is_ik:
            found += self._of_control(control.name, hand, wanted[hand])
        for bone, pose in wanted.items():
            if bone == hand and not (wrist and control.is_fk):
                continue
            base = self._base(bone, hand, wanted, moved, armature)
            found.append(self._rotation(bone, quaternions.product(quaternions.inverse(base), pose)))
        return found

    def words(self, wrist: bool, control: Control) -> tuple[str, list[str]]:
        """Say what was keyed for the wrist, and what was not keyed.

        Parameters
        ----------
        wrist : bool
            Whether the wrist was to be keyed.
        control : Control
            What the arm follows.

        Returns
        -------
        tuple of str and list of str
            The words.
        """
        lacking = [one for one in self.source if one not in (*self.names, _FOREARM)]
        keyed, missed = [], [f"{', '.join(lacking)} (no such bones)"] if lacking else []
        if HAND in self.names:
            ways = (
                (control.is_ik, control.name, "location and rotation in the world, because the arm is in IK"),
                (control.is_fk, self.names[HAND], "rotation"),
            )
            for followed, name, what in ways:
                if wrist and followed:
                    keyed.append(f"{name} ({what})")
                elif name:
                    missed.append(f"{name} ({'the arm does not follow it' if wrist else 'fingers only'})")
        return " and ".join(keyed), missed

    def _of_control(self, name: str, hand: int, turns: np.ndarray) -> list[Channel]:
        """Place the IK control where it brings the hand bone to the take's wrist, with the rotations (N, 4).

        The control may have another rest pose than the hand bone, and its parents may move.
        """
        number = self.number[name]
        bone, parent = self.target.data.bones[name], int(self.there.parents[number])
        from_hand = Matrix(np.linalg.inv(self.there.rest[hand]) @ self.there.rest[number])
        to_armature = np.linalg.inv(self.there.place)
        heads = self.samples.world[:, self.source[HAND], :, 3:]
        places = (to_armature @ heads)[:, :3, 0]
        locations, rotations = np.empty((len(turns), 3)), np.empty((len(turns), 4))
        for k in range(len(turns)):
            pose = Matrix.LocRotScale(Vector(places[k]), Quaternion(turns[k]).normalized(), None) @ from_hand
            above = {}
            if parent >= 0:
                above = {
                    "parent_matrix": Matrix(to_armature[k] @ self.there.world[k, parent]),
                    "parent_matrix_local": Matrix(self.there.rest[parent]),
                }
            own = bone.convert_local_to_pose(pose, bone.matrix_local, invert=True, **above)
            locations[k], rotations[k] = own.to_translation(), own.to_quaternion()
        path = self.target.pose.bones[name].path_from_id("location")
        return [self._rotation(number, rotations), Channel(name, path, "LOCATION", locations)]

    def _base(
        self, bone: int, hand: int | None, wanted: dict[int, np.ndarray], moved: np.ndarray, armature: np.ndarray
    ) -> np.ndarray:
        """The pose that the bone inherits, in the space of its armature: its pose without a rotation of its own."""
        parent = int(self.there.parents[bone])
        if parent < 0 or not self.target.data.bones[self.there.bones[bone]].use_inherit_rotation:
            return self.rest[bone][None]
        away = quaternions.product(quaternions.inverse(self.rest[parent]), self.rest[bone])
        if parent in wanted:
            return quaternions.product(wanted[parent], away)
        if bone == hand:  # the arm has its own animation: use its pose on each frame
            pose = quaternions.from_matrix(_rotation(self.there.world[:, parent]))
            return quaternions.product(quaternions.product(quaternions.inverse(armature), pose), away)
        named = next((one for one in self._ancestors(bone) if one in wanted), None)
        if named is not None and named != hand:
            carried = quaternions.product(wanted[named], quaternions.inverse(self.rest[named]))
            return quaternions.product(carried, self.rest[bone])
        return quaternions.product(moved, self.rest[bone])

    def _rotation(self, bone: int, values: np.ndarray) -> Channel:
        """The rotations (N, 4) of one bone in its rotation mode; axis-angle becomes quaternion."""
        pose_bone = self.target.pose.bones[self.there.bones[bone]]
        if pose_bone.rotation_mode == "AXIS_ANGLE":
            pose_bone.rotation_mode = "QUATERNION"
        values, mode = quaternions.continuous(quaternions.normalized(values)), pose_bone.rotation_mode
        path = pose_bone.path_from_id("rotation_quaternion")
        if mode != "QUATERNION":
            path = pose_bone.path_from_id("rotation_euler")
            values = to_euler(values, mode, self.there.frames, {})
        return Channel(pose_bone.name, path, mode, values)


def _frame(wrist: np.ndarray, knuckles: np.ndarray) -> np.ndarray:
    """Axes (3, 3) of a hand, as columns, from its wrist (3,) and its knuckles (K, 3), index finger first."""
    along = knuckles.mean(axis=0) - wrist
    across = knuckles[-1] - knuckles[0]
    y = along / np.linalg.norm(along)
    z = np.cross(across, y)
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], axis=-1)


def _rotation(matrices: np.ndarray) -> np.ndarray:
    """The rotations (..., 3, 3) of matrices (..., 4, 4) with uniform scale."""
    turned = matrices[..., :3, :3]
    return turned / np.cbrt(np.linalg.det(turned))[..., None, None]
