"""Fingertips pinned to the other hand or to an object over a range of frames; the motion itself stays.

A pin is an empty on the place that is touched, and an inverse kinematics constraint on the last bone of the finger. The
strength of the constraint follows the animated property "pinned" of the empty, so that no key of the hand changes, and
deleting the pin brings the motion back.
"""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..errors import InputError
from ..take.reader import SIDES
from . import animation, clean, conform
from .meshes import SIDE_LETTER
from .ownership import SIDE, mark, remove_objects, require_local, role_of

PIN = "finger pin"
STRENGTH = "pinned"
FINGERS = ("thumb", "index", "middle", "ring", "little")
_BONES = {finger: f"f_{finger}" for finger in FINGERS} | {"thumb": "thumb", "little": "f_pinky"}
_FINGER, _RANGE, _PARENT, _BONE = "im2hands_finger", "im2hands_pin_range", "im2hands_pin_side", "im2hands_pin_bone"
_CHAIN = 3  # bones of a finger
_SKIN = 0.5  # least weight with which skin belongs to the last bone of a finger
_SIZE_M = 0.006  # half the width of the empty that is shown


def pins(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """Return the pins of a take, the empties on the touched places."""
    return sorted((one for one in collection.all_objects if role_of(one) == PIN), key=lambda one: one.name)


def described(pin: bpy.types.Object) -> str:
    """Return a pin in a few words, for a list."""
    first, last, _ = pin[_RANGE]
    where = f"{first}" if first == last else f"{first}-{last}"
    there = f"{pin[_PARENT]} hand" if pin[_PARENT] else pin.parent.name if pin.parent is not None else "a place"
    return f"{where}: {pin[SIDE]} {pin[_FINGER]} on {there}"


def add(
    collection: bpy.types.Collection, scene: bpy.types.Scene, side: str, finger: str, first: int, last: int,
    target: bpy.types.Object | None = None, blend: int = 3,
) -> bpy.types.Object:  # fmt: skip
    """Pin a fingertip to the place of the other hand, or of an object, that is nearest to it on the current frame.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene; its current frame shows where the finger touches.
    side : str
        "left" or "right".
    finger : str
        One of ``FINGERS``. A pin that this finger has already is replaced.
    first, last : int
        Frames of the take between which the fingertip stays on the place.
    target : bpy.types.Object, optional
        What is touched; None for the other hand. Without faces, the fingertip keeps its place relative to it.
    blend : int
        Frames before and after over which the pin gains and loses its strength.

    Returns
    -------
    bpy.types.Object
        The pin.

    Raises
    ------
    InputError
        There is no such finger, no clean hand, or the target is a part of the hand itself.
    """
    require_local(collection)
    rig, mesh = clean.rigs(collection).get(side), clean.meshes(collection).get(side)
    if side not in SIDES or finger not in FINGERS:
        raise InputError(f'There is no finger "{side} {finger}".', f"Fingers are {', '.join(FINGERS)}.")
    if rig is None or mesh is None:
        raise InputError(f"{collection.name} has no clean {side} hand.", "Import a take with clean motion.")
    if last < first:
        raise InputError(f"The frames {first} to {last} run backwards.", "Give the first frame first.")
    other = next(one for one in SIDES if one != side)
    to_hand = target is None or target in (clean.rigs(collection).get(other), clean.meshes(collection).get(other))
    touched = clean.meshes(collection).get(other) if to_hand else target
    if touched is None:
        raise InputError(f"{collection.name} has no {other} hand.", "Choose an object to pin the fingertip to.")
    if touched in (rig, mesh):
        raise InputError(f"The {side} {finger} cannot be pinned to its own hand.", "Choose another object.")
    for one in pins(collection):
        if (one[SIDE], one[_FINGER]) == (side, finger):
            remove(collection, one)
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    place = _touching_tail(rig, mesh, bone_name(finger, side), touched, graph)
    pin = bpy.data.objects.new(f"Pin {finger}.{SIDE_LETTER[side]}", None)
    pin.empty_display_type, pin.empty_display_size = "SPHERE", _SIZE_M
    pin.show_in_front = True
    mark(pin, PIN, **{SIDE: side, _FINGER: finger, _RANGE: [first, last, max(0, blend)]})
    pin[_PARENT], pin[_BONE] = (
        (other, _nearest_bone(clean.rigs(collection)[other], place, graph)) if to_hand else ("", "")
    )
    collection.objects.link(pin)
    if to_hand:
        _hang(pin, collection)
    else:
        pin.parent = target
    parent = pin.parent.evaluated_get(graph)
    matrix = parent.matrix_world
    if to_hand:
        bone = parent.pose.bones[pin[_BONE]]
        matrix = matrix @ bone.matrix @ Matrix.Translation((0.0, bone.length, 0.0))
    pin.matrix_basis = Matrix.Translation(matrix.inverted() @ place)
    _write_keys(pin, lambda frame: conform.to_scene(collection, frame))
    _constrain(rig, pin)
    return pin


def remove(collection: bpy.types.Collection, pin: bpy.types.Object) -> None:
    """Delete a pin; the finger moves as before.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    pin : bpy.types.Object
        The pin.

    Raises
    ------
    InputError
        The take is linked from another file.
    """
    require_local(collection)
    rig = clean.rigs(collection).get(pin[SIDE])
    if rig is not None:
        _release(rig, pin)
    remove_objects([pin])


def release(collection: bpy.types.Collection) -> None:
    """Take the constraints of all pins away, before the hands are made anew; :func:`renew` makes them again.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    """
    for pin in pins(collection):
        rig = clean.rigs(collection).get(pin[SIDE])
        if rig is not None:
            _release(rig, pin)


def renew(collection: bpy.types.Collection) -> None:
    """Hang the pins of a take on hands that were made anew. The keys of the take must be on its own frames.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    """
    for pin in pins(collection):
        rig = clean.rigs(collection).get(pin[SIDE])
        if rig is None or (pin[_PARENT] and pin[_PARENT] not in clean.rigs(collection)):
            remove(collection, pin)
            continue
        if pin[_PARENT]:
            _hang(pin, collection)
        _write_keys(pin, float)
        _release(rig, pin)
        _constrain(rig, pin)


def bone_name(finger: str, side: str) -> str:
    """Return the last bone of a finger."""
    return f"{_BONES[finger]}.03.{SIDE_LETTER[side]}"


def _hang(pin: bpy.types.Object, collection: bpy.types.Collection) -> None:
    """Parent a pin to a bone of the other hand; its place beside that bone stays."""
    pin.parent, pin.parent_type = clean.rigs(collection)[pin[_PARENT]], "BONE"
    pin.parent_bone = pin[_BONE]


def _write_keys(pin: bpy.types.Object, to_scene: Callable[[int], float]) -> None:
    """Key the strength of a pin; ``to_scene`` maps frames of the take to those on which the keys are set."""
    first, last, blend = pin[_RANGE]
    keys = {first - blend: 0.0, first: 1.0, last: 1.0, last + blend: 0.0} if blend else {
        first - 1: 0.0, first: 1.0, last: 1.0, last + 1: 0.0
    }  # fmt: skip
    pin[STRENGTH] = 1.0
    pin.id_properties_ui(STRENGTH).update(min=0.0, max=1.0, description="How far the fingertip follows the pin")
    frames = [to_scene(frame) for frame in sorted(keys)]
    values = [keys[frame] for frame in sorted(keys)]
    animation.write_curve(pin, f'["{STRENGTH}"]', frames, values, interpolation="LINEAR")


def _constrain(rig: bpy.types.Object, pin: bpy.types.Object) -> None:
    bone = rig.pose.bones[bone_name(pin[_FINGER], pin[SIDE])]
    one = bone.constraints.new("IK")
    one.name, one.target, one.chain_count = pin.name, pin, _CHAIN
    one.use_tail, one.use_stretch = True, False
    for k, part in enumerate([bone, *bone.parent_recursive][:_CHAIN]):
        part.lock_ik_y = True  # bones do not twist
        part.lock_ik_z = k < _CHAIN - 1  # and only knuckles go sideways
    driver = one.driver_add("influence").driver
    driver.type = "AVERAGE"
    variable = driver.variables.new()
    variable.targets[0].id, variable.targets[0].data_path = pin, f'["{STRENGTH}"]'


def _release(rig: bpy.types.Object, pin: bpy.types.Object) -> None:
    """Take the constraint of a pin away."""
    bone = rig.pose.bones[bone_name(pin[_FINGER], pin[SIDE])]
    for one in [one for one in bone.constraints if one.type == "IK" and one.name == pin.name]:
        one.driver_remove("influence")
        bone.constraints.remove(one)
    for part in [bone, *bone.parent_recursive][:_CHAIN]:
        part.lock_ik_y = part.lock_ik_z = False


def _touching_tail(
    rig: bpy.types.Object, mesh: bpy.types.Object, bone: str, touched: bpy.types.Object, graph: bpy.types.Depsgraph
) -> Vector:
    """Where the end of a bone must be for its skin to touch an object at the place nearest to it, in the world."""
    seen = rig.evaluated_get(graph)
    tail = seen.matrix_world @ seen.pose.bones[bone].tail
    thing = touched.evaluated_get(graph)
    if thing.type != "MESH" or not len(thing.data.polygons):
        return tail
    found, near, _, _ = thing.closest_point_on_mesh(thing.matrix_world.inverted() @ tail)
    if not found:
        return tail
    place = thing.matrix_world @ near
    skin = _skin_of(mesh, bone, graph)
    if not len(skin):
        return tail
    own = skin[np.linalg.norm(skin - np.array(place), axis=1).argmin()]
    return tail + place - Vector(own)


def _skin_of(mesh: bpy.types.Object, bone: str, graph: bpy.types.Depsgraph) -> np.ndarray:
    """The places (V, 3) of the skin that a bone moves, in the world."""
    group = mesh.vertex_groups.get(bone)
    if group is None:
        return np.empty((0, 3))
    rows = [
        vertex.index for vertex in mesh.data.vertices
        if any(one.group == group.index and one.weight > _SKIN for one in vertex.groups)
    ]  # fmt: skip
    seen = mesh.evaluated_get(graph)
    points = np.empty(3 * len(seen.data.vertices), np.float32)
    seen.data.vertices.foreach_get("co", points)
    matrix = np.array(seen.matrix_world)
    return points.reshape(-1, 3)[rows] @ matrix[:3, :3].T + matrix[:3, 3]


def _nearest_bone(rig: bpy.types.Object, place: Vector, graph: bpy.types.Depsgraph) -> str:
    seen = rig.evaluated_get(graph)
    point = seen.matrix_world.inverted() @ place
    return min(seen.pose.bones, key=lambda one: (((one.head + one.tail) / 2) - point).length).name
