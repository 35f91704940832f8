"""What a person added to a take's hands, and what does not fit a new run, is kept when the take is imported again."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
from test_clean_hands import part
from test_edits import key_by_hand, rig_of


@pytest.fixture
def api(addon):
    return addon("api")


def test_own_curves_tracks_and_poses(api, addon, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6))
    collection, _ = api.import_take(folder)
    rig = rig_of(collection)
    bone = rig.pose.bones["palm.01.L"]
    for frame, size in ((1, 1.0), (6, 2.0)):
        bone.scale = (size, size, size)
        bone.keyframe_insert("scale", frame=frame)
    rig.pose.bones["palm.02.L"].scale = (1.5, 1.5, 1.5)
    own = addon("scene.animation").new_action(rig, "waving")
    addon("scene.animation").write_values(
        own, "location", addon("scene.animation").Keys(np.array([1, 6])), np.zeros((2, 3))
    )
    addon("scene.animation").put_below(rig, own, "mine")
    collection, problems = api.import_take(folder)
    rig = rig_of(collection)
    bpy.context.scene.frame_set(6)
    assert rig.pose.bones["palm.01.L"].scale[0] == pytest.approx(2.0)
    assert rig.pose.bones["palm.02.L"].scale[0] == pytest.approx(1.5)
    assert [track.name for track in rig.animation_data.nla_tracks] == ["Raw", "mine"]
    assert rig.animation_data.nla_tracks["mine"].strips[0].action == own and own.users == 1
    told = " ".join(problems)
    assert "mine" in told and "scale" in told
    count = len(bpy.data.actions)
    api.import_take(folder)
    assert len(bpy.data.actions) == count


def test_what_does_not_fit_is_kept_as_a_muted_track(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6))
    collection, _ = api.import_take(folder)
    keys = part(collection, "hand", "left").data.shape_keys
    block = keys.key_blocks[2]
    block.value = 0.7
    block.keyframe_insert("value", frame=3)
    for _ in range(2):
        collection, problems = api.import_take(folder)
        keys = part(collection, "hand", "left").data.shape_keys
        assert "Before re-run" in " ".join(problems)
        track = keys.animation_data.nla_tracks["Before re-run"]
        assert track.mute and track.strips[0].action.users == 1
        kept = {one.data_path: one for one in _curves(track.strips[0].action)}
        assert kept[block_path(keys, 2)].evaluate(3) == pytest.approx(0.7)
    assert len(keys.animation_data.nla_tracks) == 2
    api.remove_take(collection)
    assert not bpy.data.actions


def _curves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    if hasattr(action, "slots"):
        return list(action.layers[0].strips[0].channelbag(action.slots[0]).fcurves)
    return list(action.fcurves)


def block_path(keys: bpy.types.Key, number: int) -> str:
    return keys.key_blocks[number].path_from_id("value")


def test_a_take_without_clean_hands_keeps_the_action(api, tmp_path: Path) -> None:
    """Also after a re-run that left the clean phase out, or whose files are damaged."""
    folder = animated.write(tmp_path / "take", animated.make(6))
    collection, _ = api.import_take(folder)
    key_by_hand(collection, 4)
    name = rig_of(collection).animation_data.action.name
    (folder / "motion.npz").write_bytes(b"damaged")
    _, problems = api.import_take(folder)
    action = bpy.data.actions[name]
    assert action.use_fake_user and name in " ".join(problems)


def test_a_template_that_is_no_mesh_keeps_the_action(api, tmp_path: Path) -> None:
    """It is found out before the hands with the person's keys are deleted."""
    folder = animated.write(tmp_path / "take", animated.make(4), surfaces=False)
    collection, _ = api.import_take(folder)
    key_by_hand(collection, 4)
    name = rig_of(collection).animation_data.action.name
    arrays = dict(np.load(folder / "template.npz"))
    arrays["faces"] = arrays["faces"].copy()
    arrays["faces"][5] = arrays["faces"][4][[0, 0, 1, 3]]
    np.savez(folder / "template.npz", **arrays)
    _, problems = api.import_take(folder)
    assert "not a valid mesh" in " ".join(problems) and name in " ".join(problems)
    assert bpy.data.actions[name].use_fake_user


def test_a_job_keeps_and_tells(addon, api, fake_backend, photo: Path, tmp_path: Path) -> None:
    """What the importer tells is among the warnings of a reconstruction."""
    folder = animated.write(tmp_path / "take", animated.make(6))
    collection, _ = api.import_take(folder)
    key_by_hand(collection, 4)
    importer = addon("scene.importer").TakeImporter(folder)
    importer.add_frames([1, 2])
    importer.finish()
    assert any("were kept above the new clean motion" in one for one in importer.problems)
    assert json.loads(collection["im2hands_clean"])


def test_keys_on_the_camera_stay(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    collection, _ = api.import_take(folder)
    camera = next(one for one in collection.all_objects if one.type == "CAMERA")
    camera.data.dof.focus_distance = 0.5
    camera.data.dof.keyframe_insert("focus_distance", frame=1)
    api.import_take(folder)
    assert [one.data_path for one in _curves(camera.data.animation_data.action)] == ["dof.focus_distance"]


def test_what_was_added_to_a_hand_stays(api, addon, tmp_path: Path) -> None:
    """Materials, modifiers, constraints, drivers, keys of the mesh and places of the objects are no motion."""
    folder = animated.write(tmp_path / "take", animated.make(6), surfaces=False)
    collection, _ = api.import_take(folder)
    parts = addon("scene.clean")
    other = bpy.data.objects.new("target", None)
    for _ in range(2):
        rig, mesh = parts.rigs(collection)["right"], parts.meshes(collection)["right"]
        if not any(one.type == "SUBSURF" for one in mesh.modifiers):
            mesh.data.materials[0] = bpy.data.materials.new("skin")
            mesh.modifiers.new("Smooth", "SUBSURF").levels = 3
            mesh.pass_index = 1
            mesh.keyframe_insert("pass_index", frame=2)
            rig.location = (0.0, 0.0, 2.0)
            follow = rig.constraints.new("COPY_ROTATION")
            follow.target, follow.influence = other, 0.25
            bone = rig.pose.bones["hand.R"]
            bone.constraints.new("COPY_LOCATION").target = parts.rigs(collection)["left"]
            bone.driver_add("scale", 0).driver.expression = "1.5"
        collection, told = api.import_take(folder)
        rig, mesh = parts.rigs(collection)["right"], parts.meshes(collection)["right"]
        assert [one.name for one in mesh.data.materials] == ["skin"]
        assert [one.type for one in mesh.modifiers] == ["ARMATURE", "SUBSURF"] and mesh.modifiers["Smooth"].levels == 3
        curves = addon("scene.animation").curves(mesh)
        assert {one.data_path for one in curves} >= {"pass_index"}
        assert rig.location.z == 2.0
        (follow,) = rig.constraints
        assert (follow.target, follow.influence) == (other, 0.25)
        (place,) = rig.pose.bones["hand.R"].constraints
        assert place.target == parts.rigs(collection)["left"]
        assert [one.driver.expression for one in rig.animation_data.drivers] == ["1.5"]
        text = " ".join(told)
        assert all(name in text for name in ("right", "skin", "Smooth", "Copy Rotation", "pass_index", "drivers"))
        assert "left hand" not in text and "Im2Hands Drivers" not in bpy.data.objects
