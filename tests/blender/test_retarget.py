"""A take baked onto a character's rig: the fingers point as the take's, with any rest pose and axes."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion, Vector
from test_clean_hands import in_blender
from test_export import degrees_between

NEAR_DEGREES = 0.1
FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def take(api, tmp_path: Path):
    example = animated.make(5)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    return collection, example


def named(addon, identifier: str) -> dict[tuple[str, str], str]:
    """(Side, our bone) -> name in a bundled map, with the map's first prefix."""
    (one,) = [found for found in addon("bone_maps").bundled_maps() if found.identifier == identifier]
    return {
        (side, ours): one.prefixes[0] + pattern.replace("{side}", one.sides[side])
        for side in ("left", "right")
        for ours, pattern in one.bones.items()
    }


def character(example: animated.Example, names: dict[tuple[str, str], str], *, bend: float, rolls: float, scale: float):
    """Make an armature with arms and hands. Its bones are as long as the take's, but have another rest pose and roll.

    Parameters
    ----------
    example : animated.Example
        The take.
    names : dict
        (Side, our bone) -> name of the bone in the armature.
    bend : float
        Bend of each finger bone at rest, radians.
    rolls : float
        Additional roll from bone to bone, radians.
    scale : float
        Scale of the object. The bones are divided by it, so the size in the world stays the same.

    Returns
    -------
    bpy.types.Object
        The armature object.
    """
    data = bpy.data.armatures.new("Character")
    thing = bpy.data.objects.new("Character", data)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    for side, hand in example.hands.items():
        sign = 1.0 if side == "left" else -1.0
        place = (
            Matrix.Translation((sign * 0.6, 0.1, 1.4)) @ Quaternion((0.3, 1.0, sign * 0.4), 1.1).to_matrix().to_4x4()
        )
        arm = data.edit_bones.new(f"arm {side}")
        arm.head, arm.tail = Vector((0, 0, 1.4)) / scale, place.translation / scale
        heads = {name: Vector(hand.heads[k]) for k, name in enumerate(animated.BONES)}
        tails = {name: Vector(hand.tails[k]) for k, name in enumerate(animated.BONES)}
        for finger in FINGERS:
            for first in (1, 2, 3):
                axis = Vector(hand.axes[animated.BONES.index(f"{finger}.{first:02d}")][:, 0])
                turn, pivot = Quaternion(axis, bend), heads[f"{finger}.{first:02d}"].copy()
                for k in range(first, 4):
                    for ends in (heads, tails):
                        name = f"{finger}.{k:02d}"
                        ends[name] = pivot + turn @ (ends[name] - pivot)
        made = {"forearm": arm}
        wrist = heads["hand"].copy()
        for k, name in enumerate(animated.BONES):
            full = names.get((side, name))
            if full is None:
                continue
            bone = made[name] = data.edit_bones.new(full)
            bone.head, bone.tail = place @ (heads[name] - wrist) / scale, place @ (tails[name] - wrist) / scale
            bone.roll = rolls * k
            parent = animated.BONES[example.parents[k]]
            while parent not in made:
                parent = animated.BONES[example.parents[animated.BONES.index(parent)]]
            bone.parent = made[parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    thing.scale = (scale,) * 3
    thing.rotation_euler = (0.2, -0.4, 0.9)
    thing.location = (2.0, 1.0, 0.0)
    return thing


def compare(target: bpy.types.Object, example: animated.Example, names: dict[tuple[str, str], str]) -> float:
    """Greatest angle between the directions of a target bone and the take's bone on any frame, degrees."""
    worst = 0.0
    for side in example.hands:
        directions = in_blender(animated.bones(example, side)[..., :3, 1])
        for number, frame in enumerate(example.frames.tolist()):
            bpy.context.scene.frame_set(frame)
            for (where, ours), full in names.items():
                if where != side or full not in target.pose.bones or ours == "hand":
                    continue
                bone = target.pose.bones[full]
                found = np.array((target.matrix_world @ bone.matrix).to_3x3() @ Vector((0, 1, 0)))
                wanted = directions[number, animated.BONES.index(ours)]
                cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
                worst = max(worst, float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))))
    return worst


def knuckles_from_wrist(target: bpy.types.Object, names: dict[tuple[str, str], str], side: str) -> np.ndarray:
    heads = [
        np.array(target.matrix_world @ target.pose.bones[names[side, ours]].head)
        for ours in ("hand", "f_index.01", "f_middle.01", "f_pinky.01")
    ]
    return np.array(heads[1:]) - heads[0]


@pytest.mark.parametrize("identifier", ["rigify_metarig", "rigify_human", "auto_rig_pro", "mixamo", "unreal_mannequin"])
def test_fingers_point_where_the_takes_do(addon, api, take, identifier: str) -> None:
    collection, example = take
    names = named(addon, identifier)
    target = character(example, names, bend=0.25, rolls=0.7, scale=0.01 if identifier == "mixamo" else 1.0)
    baked = api.bake_to_rig(collection, target)
    assert {side: set(bones) for side, bones in baked.bones.items()} == {
        side: {full for (where, _), full in names.items() if where == side} for side in ("left", "right")
    }
    assert compare(target, example, names) < NEAR_DEGREES
    poses = {side: in_blender(animated.bones(example, side)[..., :3, 3]) for side in example.hands}
    order = [animated.BONES.index(one) for one in ("hand", "f_index.01", "f_middle.01", "f_pinky.01")]
    for number, frame in enumerate(example.frames.tolist()):
        bpy.context.scene.frame_set(frame)
        for side in example.hands:
            if identifier in (
                "rigify_human",
                "mixamo",
            ):  # maps without palm bones: the knuckles keep their distance from the wrist
                wanted = poses[side][number][order]
                palm = knuckles_from_wrist(target, names, side)
                found = np.cross(palm[2] - palm[0], palm[1])
                there = np.cross(wanted[3] - wanted[1], wanted[2] - wanted[0])
                cosine = found @ there / np.linalg.norm(found) / np.linalg.norm(there)
                assert np.degrees(np.arccos(min(1.0, cosine))) < 8.0, "the palm faces where the take's does"
    action = target.animation_data.action
    curves = addon("scene.animation").curves(target)
    assert {tuple(curve.range()) for curve in curves} == {(1.0, 5.0)} and action is not None
    keyed = {curve.data_path.split('"')[1] for curve in curves}
    assert not any(name.startswith("arm") for name in keyed), "hands and fingers only"


def test_the_same_hand_comes_out_the_same(addon, api, take) -> None:
    """On a rig with the take's rest pose and other axes every joint has the take's position relative to the wrist."""
    collection, example = take
    names = named(addon, "rigify_metarig")
    target = character(example, names, bend=0.0, rolls=0.9, scale=1.0)
    api.bake_to_rig(collection, target, bone_map="rigify_metarig")
    for side in example.hands:
        joints = in_blender(animated.bones(example, side)[..., :3, 3])
        joints = joints - joints[:, animated.BONES.index("hand")][:, None]
        for number, frame in enumerate(example.frames.tolist()):
            bpy.context.scene.frame_set(frame)
            wrist = target.matrix_world @ target.pose.bones[names[side, "hand"]].head
            for ours in animated.BONES[1:]:
                found = np.array(target.matrix_world @ target.pose.bones[names[side, ours]].head - wrist)
                error = np.linalg.norm(found - joints[number, animated.BONES.index(ours)])
                assert error * 1000 < 0.1, (side, frame, ours)


def test_fingers_alone_follow_another_hand(addon, api, take) -> None:
    """Without the wrist the hand keeps the character's own animation, and the fingers bend relative to it."""
    collection, example = take
    names = named(addon, "unreal_mannequin")
    target = character(example, names, bend=0.1, rolls=0.5, scale=1.0)
    hand = target.pose.bones["hand_l"]
    hand.rotation_mode = "XYZ"
    hand.rotation_euler = (0.4, 0.3, -0.2)
    target.pose.bones["index_01_l"].rotation_mode = "ZXY"
    target.pose.bones["thumb_01_l"].rotation_mode = "AXIS_ANGLE"
    api.bake_to_rig(collection, target, bone_map="unreal_mannequin", wrist=False)
    bpy.context.scene.frame_set(3)
    relative = {}
    for wrist in (False, True):
        if wrist:
            api.bake_to_rig(collection, target, wrist=True)
        bpy.context.scene.frame_set(2)
        bpy.context.scene.frame_set(3)
        relative[wrist] = {
            name: np.array((hand.matrix.inverted() @ target.pose.bones[name].matrix).to_3x3())
            for name in ("index_01_l", "index_03_l", "thumb_02_l", "pinky_metacarpal_l")
        }
        if not wrist:
            assert tuple(round(one, 4) for one in hand.rotation_euler) == (0.4, 0.3, -0.2)
    for name, matrix in relative[True].items():
        assert degrees_between(matrix, relative[False][name]) < NEAR_DEGREES
    assert target.pose.bones["index_01_l"].rotation_mode == "ZXY"


def test_other_animation_of_the_character_stays(addon, api, take) -> None:
    collection, example = take
    names = named(addon, "mixamo")
    target = character(example, names, bend=0.1, rolls=0.5, scale=1.0)
    write = addon("scene.animation").write_curve
    write(target, "location", [1, 5], [0.0, 1.0])
    write(target, 'pose.bones["arm left"].rotation_quaternion', [1, 5], [0.0, 0.6], index=1)
    for _ in range(2):
        api.bake_to_rig(collection, target)
    paths = [curve.data_path for curve in addon("scene.animation").curves(target)]
    assert paths.count("location") == 1 and paths.count('pose.bones["arm left"].rotation_quaternion') == 1
    assert paths.count(f'pose.bones["{names["left", "hand"]}"].rotation_quaternion') == 4
    assert compare(target, example, names) < NEAR_DEGREES, "also on an arm that moves"


def test_a_map_of_ones_own(api, take, tmp_path: Path) -> None:
    collection, example = take
    bones = {ours: f"{{side}} {ours}" for ours in animated.BONES[1:] if not ours.startswith("palm")}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"sides": {"left": "Links", "right": "Rechts"}, "bones": bones}), "utf-8")
    names = {(side, ours): f"{one} {ours}" for side, one in (("left", "Links"), ("right", "Rechts")) for ours in bones}
    target = character(example, names, bend=0.2, rolls=0.3, scale=1.0)
    assert api.bake_to_rig(collection, target, bone_map=path).map_name == "mine"
    assert compare(target, example, names) < NEAR_DEGREES


def test_targets_that_cannot_be(addon, api, take, tmp_path: Path) -> None:
    collection, example = take
    error = addon("errors").InputError
    empty = bpy.data.objects.new("Empty", None)
    stranger = character(example, {}, bend=0.0, rolls=0.0, scale=1.0)
    thumbs = {(side, "thumb.01"): f"thumb.01.{side[0].upper()}" for side in ("left", "right")}
    thumbs |= {(side, "hand"): f"hand.{side[0].upper()}" for side in ("left", "right")}
    few = character(example, thumbs, bend=0.0, rolls=0.0, scale=1.0)
    own = next(one for one in collection.all_objects if one.type == "ARMATURE")
    (tmp_path / "bad.json").write_text('{"bones": 3}')
    for target, options, text in (
        (empty, {}, "armature of a character"),
        (None, {}, "armature of a character"),
        (own, {}, "armature of a character"),
        (stranger, {}, "no bones named as in"),
        (few, {}, "two are needed"),
        (few, {"bone_map": tmp_path / "bad.json"}, "is not a bone map"),
        (few, {"bone_map": "nothing"}, "is not a bone map"),
    ):
        with pytest.raises(error, match=text):
            api.bake_to_rig(collection, target, **options)
        assert target is None or target.animation_data is None or target is own
