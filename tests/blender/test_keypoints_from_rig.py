"""Keypoints from Rig: the hands of an armature as a keypoint file, as the scene's camera sees them."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
SCALE = 0.01


def rest_points(side: str) -> np.ndarray:
    """Keypoints (21, 3) of a flat hand in the armature's world frame, metres."""
    sign = -1.0 if side == "left" else 1.0
    points = [(0.0, 0.0, 0.0)]
    for finger in range(5):
        for level in range(4):
            points.append((sign * 0.02 * (finger - 2), 0.09 + 0.03 * level - 0.04 * (finger == 0), 0.005 * level))
    return np.array(points) + np.array([sign * 0.15, 0.0, 1.2])


def armature(names: dict[tuple[str, str], str], sides=("left", "right"), without: str = "") -> bpy.types.Object:
    data = bpy.data.armatures.new("Person")
    thing = bpy.data.objects.new("Person", data)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    for side in sides:
        points = [Vector(point) / SCALE for point in rest_points(side)]
        hand = data.edit_bones.new(names[side, "hand"])
        hand.head, hand.tail = points[0], points[0] + Vector((0, 0.04, 0)) / SCALE
        for finger, first in zip(FINGERS, range(1, 21, 4), strict=True):
            parent = hand
            for level in range(3):
                ours = f"{finger}.{level + 1:02}"
                if ours == without:
                    continue
                bone = data.edit_bones.new(names[side, ours])
                bone.head, bone.tail = points[first + level], points[first + level + 1]
                bone.parent, parent = parent, bone
    bpy.ops.object.mode_set(mode="OBJECT")
    thing.scale = (SCALE,) * 3
    return thing


def named(addon, identifier: str) -> dict[tuple[str, str], str]:
    (one,) = [found for found in addon("bone_maps").bundled_maps() if found.identifier == identifier]
    return {
        (side, ours): one.prefixes[0] + pattern.replace("{side}", one.sides[side])
        for side in ("left", "right")
        for ours, pattern in one.bones.items()
    }


@pytest.fixture
def scene() -> bpy.types.Scene:
    """Three frames, and a camera that stands two metres before the hands and turns its shifted lens on them."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 4, 6
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 1280, 720, 50
    data = bpy.data.cameras.new("Camera")
    data.lens, data.shift_x, data.shift_y = 40.0, 0.05, -0.1
    camera = bpy.data.objects.new("Camera", data)
    scene.collection.objects.link(camera)
    camera.matrix_world = Matrix.Translation((0.1, -2.0, 1.3)) @ Matrix.Rotation(np.pi / 2 + 0.05, 4, "X")
    scene.camera = camera
    return scene


@pytest.mark.parametrize("identifier", ["rigify_metarig", "mixamo", "unreal_mannequin"])
def test_keypoints_of_a_moving_rig(addon, scene, tmp_path: Path, identifier: str) -> None:
    rig = armature(named(addon, identifier))
    for frame in (4, 5, 6):
        rig.location = (0.0, 0.1 * (frame - 4), 0.0)
        rig.keyframe_insert("location", frame=frame)
    scene.frame_set(5)
    path = tmp_path / "hands.json"
    assert bpy.ops.im2hands.keypoints_from_rig(filepath=str(path), rig=rig.name) == {"FINISHED"}
    assert scene.frame_current == 5
    content = json.loads(path.read_text("utf-8"))
    assert (content["order"], content["unit"], content["space"]) == ("file", "m", "camera")
    assert list(content["frames"]) == ["000004", "000005", "000006"]
    camera = json.loads(path.with_suffix(".camera.json").read_text("utf-8"))
    assert (camera["width"], camera["height"]) == (640, 360)
    for frame in (4, 5, 6):
        scene.frame_set(frame)
        for side in ("left", "right"):
            points = np.array(content["frames"][f"{frame:06}"][side])
            world = rest_points(side) + np.array([0.0, 0.1 * (frame - 4), 0.0])
            local = [scene.camera.matrix_world.inverted() @ Vector(point) for point in world]
            assert np.allclose(points, np.array(local) * (1, -1, -1), atol=2e-5)
            u = camera["fx"] * points[:, 0] / points[:, 2] + camera["cx"]
            v = camera["fy"] * points[:, 1] / points[:, 2] + camera["cy"]
            seen = np.array([world_to_camera_view(scene, scene.camera, Vector(point)) for point in world])
            assert np.allclose(u, seen[:, 0] * 640 - 0.5, atol=0.02)
            assert np.allclose(v, (1 - seen[:, 1]) * 360 - 0.5, atol=0.02)


def test_one_whole_hand_is_enough(addon, api, scene, tmp_path: Path) -> None:
    rig = armature(named(addon, "rigify_metarig"), sides=("right",))
    written = api.write_rig_keypoints(rig, tmp_path / "a.json", frames=(0, 0))
    assert written.hands == ("right",) and written.frames == 1


def test_a_camera_that_zooms_is_not_written(addon, api, scene, tmp_path: Path) -> None:
    rig = armature(named(addon, "rigify_metarig"))
    for frame, lens in ((4, 30.0), (6, 50.0)):
        scene.camera.data.lens = lens
        scene.camera.data.keyframe_insert("lens", frame=frame)
    assert api.write_rig_keypoints(rig, tmp_path / "a.json").camera is None
    assert not (tmp_path / "a.camera.json").exists()


@pytest.mark.parametrize("wrong", ["no camera", "no rig", "no finger", "behind", "no folder", "before 0"])
def test_what_cannot_be_written(addon, api, scene, tmp_path: Path, wrong: str) -> None:
    errors = addon("errors")
    rig = armature(named(addon, "rigify_metarig"), without="f_ring.02" if wrong == "no finger" else "")
    path = tmp_path / ("missing" if wrong == "no folder" else ".") / "a.json"
    if wrong == "no camera":
        scene.camera = None
    if wrong == "behind":
        scene.camera.matrix_world = Matrix.Translation((0, 5, 1.2)) @ Matrix.Rotation(np.pi / 2, 4, "X")
    frames = (-3, 2) if wrong == "before 0" else None
    with pytest.raises(errors.InputError) as error:
        api.write_rig_keypoints(scene.camera if wrong == "no rig" else rig, path, frames=frames)
    words = {"no camera": "no camera", "no rig": "armature", "no finger": "three bones", "behind": "behind the camera",
             "no folder": "cannot be written", "before 0": "start at 0"}  # fmt: skip
    assert words[wrong] in str(error.value)
    assert not list(tmp_path.glob("*.json"))


@pytest.fixture
def api(addon):
    return addon("api")
