"""What a person keyed on the rigs of a take survives another import: it stays effective, or is kept and told."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
from mathutils import Quaternion, Vector
from test_clean_hands import NEAR, furthest, part

BONE = "f_index.03.L"


@pytest.fixture
def api(addon):
    return addon("api")


def rig_of(collection: bpy.types.Collection, side: str = "left") -> bpy.types.Object:
    return part(collection, "rig", side)


def tip(collection: bpy.types.Collection, frame: int) -> np.ndarray:
    bpy.context.scene.frame_set(frame)
    rig = rig_of(collection).evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array(rig.matrix_world @ rig.pose.bones[BONE].tail)


def smoothed_again(example: animated.Example) -> animated.Example:
    """The same take after another smoothing: other rotations everywhere."""
    other = animated.make(len(example.frames))
    for hand in other.hands.values():
        layer = hand.layers[""]
        turned = layer["rotations"] + 0.02 * np.sin(np.arange(layer["rotations"].size)).reshape(
            layer["rotations"].shape
        )
        layer["rotations"] = turned / np.linalg.norm(turned, axis=-1, keepdims=True)
    return other


def key_by_hand(collection: bpy.types.Collection, frame: int) -> None:
    bpy.context.scene.frame_set(frame)
    bone = rig_of(collection).pose.bones[BONE]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), 1.2)
    bone.keyframe_insert("rotation_quaternion", frame=frame)


@pytest.mark.parametrize("conformed", [False, True])
def test_a_key_in_the_clean_motion_becomes_a_layer_above_the_new_one(api, tmp_path: Path, conformed: bool) -> None:
    """The offset that the person keyed holds on its frame; the frames beside it have the new motion."""
    example = animated.make(9)
    folder = animated.write(tmp_path / "take", example, kind="video", surfaces=False)
    collection, _ = api.import_take(folder)
    frame = 5
    if conformed:
        bpy.context.scene.render.fps, bpy.context.scene.render.fps_base, frame = 50, 1.0, 9
        api.conform_to_scene(collection)
    before = tip(collection, frame)
    key_by_hand(collection, frame)
    pose = rig_of(collection).pose.bones[BONE].rotation_quaternion.copy()
    edited = tip(collection, frame)
    assert np.linalg.norm(edited - before) > 0.005
    for _ in range(2):
        collection, problems = api.import_take(folder)
        told = " ".join(problems)
        assert f"frames 5 ({BONE})" in told and "left hand were kept" in told and "right" not in told
        assert "Check frames" not in told, "nothing moved below"
    assert np.linalg.norm(tip(collection, frame) - edited) < NEAR, "the same motion below: the pose is the same"
    assert abs(rig_of(collection).pose.bones[BONE].rotation_quaternion.dot(pose)) > 1 - 1e-6
    other = smoothed_again(example)
    animated.write(folder, other, kind="video", surfaces=False)
    collection, _ = api.import_take(folder)
    tip(collection, frame)
    kept = rig_of(collection).pose.bones[BONE].rotation_quaternion.copy()
    if not conformed:
        fresh, _ = api.import_take(animated.write(tmp_path / "fresh", other, kind="video", surfaces=False))
        for near in (3, 4, 6, 7):
            assert np.linalg.norm(tip(collection, near) - tip(fresh, near)) < NEAR, "other frames have the new motion"
        tip(fresh, frame)
        below = rig_of(fresh).pose.bones[BONE].rotation_quaternion
        assert abs(kept.dot(below @ Quaternion((1, 0, 0), 1.2))) > 1 - 1e-5, "the same turn over the new motion"


def moved_again(example: animated.Example, by_mm: float) -> animated.Example:
    """The same take, its left hand from frame 6 on elsewhere."""
    other = animated.make(len(example.frames))
    other.hands["left"].layers[""]["root"][5:, 0] += by_mm / 1000
    return other


def test_a_layer_above_the_clean_motion_stays_and_names_what_moved_below(api, addon, tmp_path: Path) -> None:
    """The person's action stays as it is, curved keys and properties of their own included."""
    example = animated.make(9)
    folder = animated.write(tmp_path / "take", example, surfaces=False)
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.4)
    seen = {frame: tip(collection, frame) for frame in range(1, 10)}
    assert bpy.ops.im2hands.edit_above_clean(take=collection.name) == {"FINISHED"}
    assert api.smoothing(collection) == pytest.approx(0.4)
    for frame, place in seen.items():
        assert np.linalg.norm(tip(collection, frame) - place) < NEAR, "lifting changes nothing"
    api.set_smoothing(collection, 1.0)
    rig = rig_of(collection)
    for frame in (3, 7, 5):
        bpy.context.scene.frame_set(frame)
        bone = rig.pose.bones[BONE]
        if frame == 5:
            bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), 1.2)
        bone.keyframe_insert("rotation_quaternion", frame=frame)
    rig["mine"] = 1.0
    rig.keyframe_insert('["mine"]', frame=2)
    action = rig.animation_data.action
    curve = next(one for one in addon("scene.animation").curves(rig) if BONE in one.data_path)
    curve.keyframe_points[1].interpolation = "BEZIER"
    seen = {frame: tip(collection, frame) for frame in range(1, 10)}
    for far, names in ((4.0, ""), (12.0, "Check frames 6 of the left hand"), (12.0, "")):
        animated.write(folder, moved_again(example, far), surfaces=False)
        collection, problems = api.import_take(folder)
        told = " ".join(problems)
        assert f"frames 4-6 ({BONE})" in told
        assert names in told and ("by up to 8 mm" in told) == ("Check frames" in told) == bool(names)
        rig = rig_of(collection)
        assert rig.animation_data.action == action and action.users == 1 and not action.use_fake_user
        for frame in range(1, 6):
            assert np.linalg.norm(tip(collection, frame) - seen[frame]) < NEAR
    kept = next(one for one in addon("scene.animation").curves(rig) if BONE in one.data_path)
    assert kept.keyframe_points[1].interpolation == "BEZIER"
    api.remove_take(collection)
    assert not bpy.data.actions


@pytest.mark.parametrize("step", [1, 3])
def test_a_layer_of_a_take_that_was_placed_in_time(api, addon, tmp_path: Path, step: int) -> None:
    """Its keys stay on their scene frames, whichever way the motion is brought in again."""
    example = animated.make(9, step=step)
    folder = animated.write(tmp_path / "take", example, kind="video", step=step, surfaces=False)
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.5)  # the raw motion counts too
    api.edit_above_clean(collection)
    for side in ("left", "right"):
        assert addon("scene.layers").is_lifted(rig_of(collection, side))
    before = tip(collection, 5)
    api.start_at(collection, 1001)
    assert np.linalg.norm(tip(collection, 1005) - before) < NEAR, "the strips of both motions moved along"
    key_by_hand(collection, 1005)
    curve = next(one for one in addon("scene.animation").curves(rig_of(collection)) if BONE in one.data_path)
    for frame in (1004, 1006):
        for one in addon("scene.animation").curves(rig_of(collection)):
            neutral = 1.0 if one.array_index == 0 else 0.0
            one.keyframe_points.insert(frame, neutral)
    seen = {frame: tip(collection, frame) for frame in (1001, 1004, 1005, 1006, 1009)}
    for bring_in in (
        lambda: api.import_take(folder)[1],
        lambda: addon("scene.importer").TakeImporter(folder).replace_frames([]) and [],
        lambda: api.import_take(folder)[1],
    ):
        told = " ".join(bring_in())
        assert not told or f"frames 5 ({BONE})" in told
        collection = bpy.data.collections["take"]
        for frame, place in seen.items():
            assert np.linalg.norm(tip(collection, frame) - place) < NEAR
    curve = next(one for one in addon("scene.animation").curves(rig_of(collection)) if BONE in one.data_path)
    assert [point.co[0] for point in curve.keyframe_points] == [1004, 1005, 1006]


def test_the_active_rig_stays_active(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2), surfaces=False)
    collection, _ = api.import_take(folder)
    layer = bpy.context.view_layer
    layer.objects.active = rig_of(collection, "right")
    collection, _ = api.import_take(folder)
    assert layer.objects.active == rig_of(collection, "right") and layer.objects.active.select_get()


def test_names_of_layers_already_taken(api, tmp_path: Path) -> None:
    """A person's own actions and tracks of the same names are not confused with those of the add-on."""
    folder = animated.write(tmp_path / "take", animated.make(4), surfaces=False)
    collection, _ = api.import_take(folder)
    taken = {bpy.data.actions.new(name) for name in ("take Edits Rig.L", "take Clean Rig.L", "Rig.LAction")}
    rig = rig_of(collection)
    for name in ("Clean", "Edits", "Raw"):
        rig.animation_data.nla_tracks.new().name = name
    for action in taken:
        action.use_fake_user = True
    api.edit_above_clean(collection)
    key_by_hand(collection, 2)
    seen = tip(collection, 2)
    for _ in range(2):
        collection, _ = api.import_take(folder)
        assert np.linalg.norm(tip(collection, 2) - seen) < NEAR
    assert taken < set(bpy.data.actions) and rig_of(collection).animation_data.action not in taken
    assert len(rig_of(collection).animation_data.nla_tracks) == 5


def test_a_rig_with_bones_missing(api, tmp_path: Path) -> None:
    """A bone that the person deleted comes back; the keys of the others stay."""
    folder = animated.write(tmp_path / "take", animated.make(4), surfaces=False)
    collection, _ = api.import_take(folder)
    api.edit_above_clean(collection)
    key_by_hand(collection, 2)
    rig = rig_of(collection)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones.remove(rig.data.edit_bones["f_pinky.01.L"])
    bpy.ops.object.mode_set(mode="OBJECT")
    seen = tip(collection, 2)
    collection, problems = api.import_take(folder)
    assert np.linalg.norm(tip(collection, 2) - seen) < NEAR and BONE in " ".join(problems)
    assert "f_pinky.01.L" in rig_of(collection).pose.bones


def test_a_layer_is_converted_with_the_motion_below(api, tmp_path: Path) -> None:
    """To Euler and back leaves the pose on the keys as it is, and an import keeps the rotation mode of a layer."""
    folder = animated.write(tmp_path / "take", animated.make(6), surfaces=False)
    collection, _ = api.import_take(folder)
    api.edit_above_clean(collection)
    key_by_hand(collection, 3)
    seen = {frame: tip(collection, frame) for frame in (1, 3, 5)}
    for mode in ("XYZ", "QUATERNION", "ZYX"):
        api.set_rotation_mode(collection, mode)
        assert np.linalg.norm(tip(collection, 3) - seen[3]) < NEAR
    collection, _ = api.import_take(folder)
    assert rig_of(collection).pose.bones[BONE].rotation_mode == "ZYX"
    assert np.linalg.norm(tip(collection, 3) - seen[3]) < NEAR


def test_keys_in_both_layers_and_in_tweak_mode(api, addon, tmp_path: Path) -> None:
    """A person may also open the strip of the clean motion and key in it."""
    folder = animated.write(tmp_path / "take", animated.make(6), surfaces=False)
    collection, _ = api.import_take(folder)
    api.edit_above_clean(collection)
    key_by_hand(collection, 3)
    rig = rig_of(collection)
    clean = addon("scene.layers").clean_action(rig)
    for curve in addon("scene.animation").action_curves(clean):
        if "f_index.01.L" in curve.data_path:
            curve.keyframe_points[3].co.y += 0.1
            curve.update()
    seen = {frame: tip(collection, frame) for frame in range(1, 7)}
    rig.animation_data.use_tweak_mode = True
    for _ in range(2):
        collection, problems = api.import_take(folder)
        told = " ".join(problems)
        assert BONE in told and "f_index.01.L" in told
        for frame, place in seen.items():
            assert np.linalg.norm(tip(collection, frame) - place) < 2e-4
    count = len(bpy.data.actions)
    api.import_take(folder)
    assert len(bpy.data.actions) == count


def test_nothing_is_told_of_a_take_that_nobody_changed(api, tmp_path: Path) -> None:
    example = animated.make(6, missing=(3,))
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.4)
    api.set_rotation_mode(collection, "XYZ")
    collection, problems = api.import_take(folder)
    assert not problems
    api.set_smoothing(collection, 1.0)
    assert furthest(collection, example) < NEAR


def test_edits_in_euler_angles(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6))
    collection, _ = api.import_take(folder)
    api.set_rotation_mode(collection, "XYZ")
    bpy.context.scene.frame_set(3)
    bone = rig_of(collection).pose.bones[BONE]
    bone.rotation_euler.x += 1.0
    bone.keyframe_insert("rotation_euler", frame=3)
    wanted = bone.rotation_euler.to_quaternion()
    collection, problems = api.import_take(folder)
    assert f"frames 3 ({BONE})" in " ".join(problems)
    bpy.context.scene.frame_set(3)
    bone = rig_of(collection).pose.bones[BONE]
    kept = bone.rotation_quaternion if bone.rotation_mode == "QUATERNION" else bone.rotation_euler.to_quaternion()
    assert abs(kept.dot(wanted)) > 1 - 1e-5


def test_deleted_keys_and_moved_roots(api, addon, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(9))
    collection, _ = api.import_take(folder)
    rig = rig_of(collection)
    curves = addon("scene.animation").curves(rig)
    for curve in curves:
        if BONE in curve.data_path:
            for frame in (6, 5, 4):
                curve.keyframe_points.remove(curve.keyframe_points[frame - 1])
    bpy.context.scene.frame_set(2)
    root = rig.pose.bones["forearm.L"]
    root.location += Vector((0, 0.1, 0))
    root.keyframe_insert("location", frame=2)
    wanted = [tip(collection, frame) for frame in range(1, 10)]
    collection, problems = api.import_take(folder)
    np.testing.assert_allclose([tip(collection, frame) for frame in range(1, 10)], wanted, atol=1e-4)
    assert "forearm.L" in " ".join(problems)
