"""The armature of a hand, with Rigify's finger names and the take's bone lengths, and its animation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Vector

from ..take import quaternions
from ..take.motion import Layer, RestHand, Template
from . import animation
from .camera import to_blender
from .meshes import SIDE_LETTER
from .ownership import SIDE, mark

_SHORTEST_BONE = 1e-3  # metres; Blender silently deletes bones without a length when it leaves edit mode
_CONNECTED = 1e-6  # metres; a bone whose head is nearer to its parent's tail is connected
# camera.to_blender as a quaternion: half a turn about x.
_TO_BLENDER = np.array([0.0, 1.0, 0.0, 0.0])


def bone_name(name: str, side: str) -> str:
    """The name of a template's bone in Blender, such as "f_index.01.L"."""
    return f"{name}.{SIDE_LETTER[side]}"


def build_rig(template: Template, side: str) -> bpy.types.Object:
    """Make the armature object of a hand, "Rig.L" or "Rig.R", in its rest pose.

    Parameters
    ----------
    template : Template
        The template hand.
    side : str
        "left" or "right".

    Returns
    -------
    bpy.types.Object
        The object, in the hand's rest frame and in no collection.
    """
    name = f"Rig.{SIDE_LETTER[side]}"
    data = bpy.data.armatures.new(name)
    data.display_type = "STICK"
    thing = bpy.data.objects.new(name, data)
    thing.show_in_front = True
    mark(thing, "rig", **{SIDE: side})
    rest = template.rest[side]
    with editing(thing):
        _add_bones(data, template, rest, side)
    for name, parent in zip(template.bone_names, template.bone_parents, strict=True):
        bone = thing.pose.bones[bone_name(name, side)]
        bone.rotation_mode = "QUATERNION"
        bone.lock_scale = (True, True, True)
        bone.lock_location = (bool(parent >= 0),) * 3  # bones keep their lengths
    return thing


@contextmanager
def editing(thing: bpy.types.Object) -> Iterator[None]:
    """Put an armature object into edit mode for a while, in a temporary scene.

    The person's scene, mode and selection stay unchanged.

    Parameters
    ----------
    thing : bpy.types.Object
        The armature object, in no collection.
    """
    scene = bpy.data.scenes.new("Im2Hands Rig")
    try:
        scene.collection.objects.link(thing)
        layer = scene.view_layers[0]
        layer.objects.active = thing
        with bpy.context.temp_override(
            scene=scene, view_layer=layer, object=thing, active_object=thing, selected_objects=[thing]
        ):
            bpy.ops.object.mode_set(mode="EDIT")
            try:
                yield
            finally:
                bpy.ops.object.mode_set(mode="OBJECT")
            layer.update()
    finally:
        bpy.data.scenes.remove(scene)


def _add_bones(data: bpy.types.Armature, template: Template, rest: RestHand, side: str) -> None:
    """Add the bones; the armature is in edit mode."""
    made = []
    for number, name in enumerate(template.bone_names):
        bone = data.edit_bones.new(bone_name(name, side))
        head, axes = rest.heads[number].astype(np.float64), rest.axes[number].astype(np.float64)
        length = max(_SHORTEST_BONE, float(np.linalg.norm(rest.tails[number] - rest.heads[number])))
        bone.head = head
        bone.tail = head + length * axes[:, 1] / np.linalg.norm(axes[:, 1])
        bone.align_roll(Vector(axes[:, 2]))
        parent = int(template.bone_parents[number])
        if parent >= 0:
            bone.parent = made[parent]
            bone.use_connect = (made[parent].tail - bone.head).length < _CONNECTED
        made.append(bone)


def short_bones(template: Template, side: str) -> list[str]:
    """Find bones that are shorter than 1 mm; :func:`build_rig` makes them 1 mm long.

    Parameters
    ----------
    template : Template
        The template hand.
    side : str
        "left" or "right".

    Returns
    -------
    list of str
        Names of the bones, without side.
    """
    rest = template.rest[side]
    lengths = np.linalg.norm(rest.tails - rest.heads, axis=1)
    return [name for name, length in zip(template.bone_names, lengths, strict=True) if length < _SHORTEST_BONE]


def channels(rig: bpy.types.Object, template: Template, side: str, layer: Layer) -> dict[str, np.ndarray]:
    """Compute the pose channels of a layer of motion: the rotations of all bones and the locations of root bones.

    Parameters
    ----------
    rig : bpy.types.Object
        The armature object.
    template : Template
        The template hand.
    side : str
        "left" or "right".
    layer : Layer
        The motion over N frames.

    Returns
    -------
    dict
        Data path -> (N, 4) quaternions with continuous signs, or (N, 3) locations in metres. NaN on frames without the
        hand.
    """
    found = {}
    rotations = quaternions.normalized(layer.rotations)
    turn = quaternions.product(_TO_BLENDER, quaternions.normalized(layer.root_rotation))
    place = to_blender(layer.root).astype(np.float64)
    for number, name in enumerate(template.bone_names):
        full = bone_name(name, side)
        path = f'pose.bones["{full}"]'
        rotation = rotations[:, number]
        if template.bone_parents[number] < 0:
            rest = np.array(rig.data.bones[full].matrix_local)
            axes, head = quaternions.from_matrix(rest[:3, :3]), rest[:3, 3]
            location = quaternions.rotated(turn, head[None]) + place - head
            location = quaternions.rotated(quaternions.inverse(axes)[None], location)
            # The rigid motion of the hand, expressed in the rest axes of the root bone.
            own = quaternions.product(quaternions.inverse(axes), quaternions.product(turn, axes))
            rotation = quaternions.product(own, rotation)
            found[f"{path}.location"] = location
        found[f"{path}.rotation_quaternion"] = quaternions.continuous(rotation)
    return found


def write_channels(
    action: bpy.types.Action, found: Mapping[str, np.ndarray], keys: animation.Keys, at: np.ndarray
) -> None:
    """Write pose channels into an action.

    Parameters
    ----------
    action : bpy.types.Action
        The action of the rig.
    found : mapping of str to array
        The channels over N frames, from :func:`channels`.
    keys : animation.Keys
        The keys; one for each selected frame.
    at : (N,) bool
        The selected frames.
    """
    for path, values in found.items():
        group = path.split('"')[1]
        animation.write_values(action, path, keys, values[at], group=group)
