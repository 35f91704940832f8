"""A take becomes Blender data: the same numbers, visible on the right frames, without duplicates."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
import synthetic

HANDS = {1: ("left", "right"), 2: ("left",), 3: (), 5: ("left", "right")}


@pytest.fixture
def api(addon):
    return addon("api")


def visible() -> set[str]:
    return {
        thing.name
        for thing in bpy.context.scene.objects
        if thing.type == "MESH" and not thing.hide_render and not thing.hide_viewport
    }


def named(*frames_and_sides: tuple[int, str]) -> set[str]:
    return {f"Surface.{side} {frame:04d}" for frame, side in frames_and_sides}


def world_vertices(thing: bpy.types.Object) -> np.ndarray:
    values = np.empty(len(thing.data.vertices) * 3, np.float32)
    thing.data.vertices.foreach_get("co", values)
    matrix = np.array(thing.matrix_world)
    return values.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def in_blender(points: np.ndarray) -> np.ndarray:
    """Convert points from the camera frame (x right, y down, z forward) to the world (+Y forward, +Z up)."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=-1)


def test_meshes_are_the_arrays(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    collection, problems = api.import_take(folder)
    assert not problems
    for frame, sides in HANDS.items():
        bpy.context.scene.frame_set(frame)
        for side in sides:
            arrays = np.load(folder / f"frames/{frame:06d}.npz")
            thing = collection.all_objects[f"Surface.{side[0].upper()} {frame:04d}"]
            np.testing.assert_allclose(world_vertices(thing), in_blender(arrays[f"{side}_vertices"]), atol=1e-6)
            faces = np.empty(len(thing.data.loops), np.int32)
            thing.data.loops.foreach_get("vertex_index", faces)
            np.testing.assert_array_equal(faces.reshape(-1, 3), arrays[f"{side}_faces"])
            assert all(polygon.use_smooth for polygon in thing.data.polygons)
            assert len(thing.data.materials) == 1
    materials = {collection.all_objects[f"Surface.{letter} 0001"].data.materials[0].name for letter in "LR"}
    assert len(materials) == 2


def test_each_hand_is_seen_on_its_own_frame(api, tmp_path: Path) -> None:
    api.import_take(synthetic.write_take(tmp_path / "take", HANDS))
    expected = {
        0: set(), 1: named((1, "L"), (1, "R")), 2: named((2, "L")), 3: set(), 4: set(),
        5: named((5, "L"), (5, "R")), 6: set(), 100: set(),
    }  # fmt: skip
    for frame, names in expected.items():
        bpy.context.scene.frame_set(frame)
        assert visible() == names, frame


def test_steps_are_held(api, tmp_path: Path) -> None:
    api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left",), 4: ("left",), 10: ("left",)}, step=3))
    scene = bpy.context.scene
    seen = {}
    for frame in range(15):
        scene.frame_set(frame)
        seen[frame] = sorted(visible())
    held = {1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 4, 10: 10, 11: 10, 12: 10}
    assert seen == {frame: [f"Surface.L {held[frame]:04d}"] if frame in held else [] for frame in seen}
    assert (scene.frame_start, scene.frame_end) == (1, 12)
    wrist = bpy.data.objects["wrist.L"]
    scene.frame_set(4)
    there = wrist.matrix_world.translation.copy()
    scene.frame_set(6)
    assert (wrist.matrix_world.translation - there).length < 1e-7
    assert not wrist.hide_viewport
    scene.frame_set(8)
    assert wrist.hide_viewport


def test_seen_at_once_without_a_frame_change(api, tmp_path: Path) -> None:
    bpy.context.scene.frame_set(2)
    api.import_take(synthetic.write_take(tmp_path / "take", HANDS))
    assert visible() == named((2, "L"))


def test_keypoints(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    collection, _ = api.import_take(folder)
    names = synthetic_names()
    for frame, sides in HANDS.items():
        bpy.context.scene.frame_set(frame)
        for side in ("left", "right"):
            empties = [collection.all_objects[f"{name}.{side[0].upper()}"] for name in names]
            assert {empty.hide_viewport for empty in empties} == {side not in sides}
            if side in sides:
                places = np.array([empty.matrix_world.translation for empty in empties])
                wanted = np.load(folder / f"frames/{frame:06d}.npz")[f"{side}_keypoints"]
                np.testing.assert_allclose(places, in_blender(wanted), atol=1e-6)
            assert all(empty.hide_render for empty in empties)


def synthetic_names() -> list[str]:
    fingers = ("thumb", "index", "middle", "ring", "little")
    joints = {"thumb": ("cmc", "mcp", "ip", "tip")}
    return ["wrist"] + [
        f"{finger}_{joint}" for finger in fingers for joint in joints.get(finger, ("mcp", "pip", "dip", "tip"))
    ]


def test_scene_is_set_up(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS, fps=29.97, size=(200, 90))
    collection, _ = api.import_take(folder)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (1, 5)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(29.97, rel=1e-5)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (200, 90)
    assert scene.camera.name in collection.all_objects
    assert collection["im2hands_ok"] == 2 and collection["im2hands_empty"] == 1
    assert "voxel_mm" in collection["im2hands_settings"]
    assert {child.name for child in collection.children} == {"Surface.L", "Surface.R", "Keypoints"}


def test_scene_is_left_alone_when_asked(api, tmp_path: Path) -> None:
    scene = bpy.context.scene
    before = (scene.frame_start, scene.frame_end, scene.render.fps, scene.render.resolution_x, scene.camera)
    api.import_take(synthetic.write_take(tmp_path / "take", HANDS, fps=60), set_scene=False)
    assert (scene.frame_start, scene.frame_end, scene.render.fps, scene.render.resolution_x, scene.camera) == before


def test_doubtful_frames_are_marked(api, tmp_path: Path) -> None:
    frames = {
        1: ("left", "right"),
        2: ("left",),
        3: ("left",),
        4: ("left", "right"),
        5: ("left", "right"),
        6: ("right",),
    }
    folder = synthetic.write_take(tmp_path / "take", frames, confidence={5: 0.2}, failed=(6,))
    bpy.context.scene.timeline_markers.new("mine", frame=4)
    for _ in range(2):
        api.import_take(folder)
        markers = {marker.name: marker.frame for marker in bpy.context.scene.timeline_markers}
        assert markers == {"mine": 4, "no right hand 2-3": 2, "unsure left and right 5": 5, "failed 6": 6}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_pictures_whose_names_are_no_utf8(api, tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"photo_\xff.png")
    synthetic.write_png(picture, synthetic.picture(160, 120))
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right")}, images={1: str(picture)})
    collection, problems = api.import_take(folder)
    assert list(problems) == []
    assert len([one for one in collection.all_objects if "im2hands_frame" in one]) >= 2


def test_importing_again_replaces(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    collection, _ = api.import_take(folder)
    origin = next(thing for thing in collection.objects if thing.name.endswith("Origin"))
    origin.location = (1, 2, 3)
    own = bpy.data.objects.new("mine", None)
    collection.objects.link(own)
    kinds = ("objects", "meshes", "actions", "cameras", "collections", "materials", "images")
    before = {kind: len(getattr(bpy.data, kind)) for kind in kinds}
    again, _ = api.import_take(folder / "take.json")
    assert again == collection
    assert {kind: len(getattr(bpy.data, kind)) for kind in kinds} == before
    assert tuple(origin.location) == (1, 2, 3), "where a person put the take it stays"
    assert own.name in collection.objects


def test_importing_a_changed_take_brings_it_in_line(api, tmp_path: Path) -> None:
    folder = tmp_path / "take"
    api.import_take(synthetic.write_take(folder, HANDS))
    collection, _ = api.import_take(synthetic.write_take(folder, {1: ("right",), 7: ("left", "right")}))
    meshes = {thing.name for thing in collection.all_objects if thing.type == "MESH"}
    assert meshes == named((1, "R"), (7, "L"), (7, "R"))
    scene = bpy.context.scene
    scene.frame_set(1)
    assert bpy.data.objects["wrist.L"].hide_viewport and not bpy.data.objects["wrist.R"].hide_viewport
    assert scene.frame_end == 7


def test_frame_by_frame_is_the_same_as_whole(api, addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    importer = addon("scene.importer").TakeImporter(folder)
    for frame in (5, 1, 2):
        importer.add_frames([frame])
    collection = importer.finish()
    piecemeal = described(collection)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    whole, _ = api.import_take(folder)
    assert described(whole) == piecemeal


def described(collection: bpy.types.Collection) -> dict:
    """Everything that is visible of a take on each frame."""
    scene, seen = bpy.context.scene, {}
    for frame in range(8):
        scene.frame_set(frame)
        for thing in collection.all_objects:
            place = tuple(round(value, 6) for value in thing.matrix_world.translation)
            size = len(thing.data.vertices) if thing.type == "MESH" else 0
            seen[frame, thing.name] = (place, size, thing.hide_viewport, thing.hide_render)
    return seen


def test_undone_half_way_comes_back_at_the_end(addon, tmp_path: Path) -> None:
    """An undo during a job removes the collection; the end of the job imports everything again."""
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    importer = addon("scene.importer").TakeImporter(folder)
    collection = importer.add_frames([1, 2])
    bpy.data.batch_remove([*collection.all_objects, *collection.children, collection])
    collection = importer.add_frames([3, 5])
    assert {thing.name for thing in collection.all_objects if thing.type == "MESH"} == named((5, "L"), (5, "R"))
    collection = importer.finish()
    meshes = {thing.name for thing in collection.all_objects if thing.type == "MESH"}
    assert meshes == named((1, "L"), (1, "R"), (2, "L"), (5, "L"), (5, "R"))


def test_a_damaged_frame_does_not_stop_the_others(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    (folder / "frames/000002.npz").write_bytes(b"nothing")
    collection, problems = api.import_take(folder)
    assert len(problems) == 1 and "frame 2" in problems[0]
    assert {thing.name for thing in collection.all_objects if thing.type == "MESH"} == named(
        (1, "L"), (1, "R"), (5, "L"), (5, "R")
    )


@pytest.mark.parametrize("frames", [{}, {1: ()}, {4: ("right",)}])
def test_few_hands_or_none(api, tmp_path: Path, frames: dict) -> None:
    collection, problems = api.import_take(synthetic.write_take(tmp_path / "take", frames))
    assert not problems
    meshes = [thing for thing in collection.all_objects if thing.type == "MESH"]
    assert len(meshes) == sum(len(sides) for sides in frames.values())


def test_two_takes_side_by_side(api, tmp_path: Path) -> None:
    one, _ = api.import_take(synthetic.write_take(tmp_path / "one", HANDS))
    two, _ = api.import_take(synthetic.write_take(tmp_path / "two", HANDS))
    assert one != two
    assert len(one.all_objects) == len(two.all_objects)
    assert not set(one.all_objects) & set(two.all_objects)


def test_any_path(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "Zwei Hände 双手 take", HANDS)
    collection, _ = api.import_take(folder)
    assert collection.name == "Zwei Hände 双手 take"
    blend = tmp_path / "Übung 手.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    assert blend.is_file()


def test_operator_equals_function(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS)
    assert bpy.ops.im2hands.import_take(filepath=str(folder / "take.json")) == {"FINISHED"}
    by_operator = described(bpy.data.collections["take"])
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    by_function, _ = api.import_take(folder)
    assert described(by_function) == by_operator


def test_operator_says_what_is_wrong(tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", HANDS, version=3)
    with pytest.raises(RuntimeError, match=r"version 3.*Update the add-on"):
        bpy.ops.im2hands.import_take(filepath=str(folder))
