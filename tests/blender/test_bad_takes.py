"""Takes and files that are not as one would wish: few hands, older, in the way, deleted, undone, moved."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from test_clean_hands import NEAR, evaluated_vertices, furthest, in_blender, part
from test_import import described, visible

KINDS = (
    "objects", "meshes", "armatures", "actions", "shape_keys", "cameras", "collections", "materials", "images",
    "scenes", "worlds", "lights",
)  # fmt: skip


@pytest.fixture
def api(addon):
    return addon("api")


def counted() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in KINDS}


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    """Change arrays of an npz; None takes one out."""
    arrays = dict(np.load(path)) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def test_frames_missing(api, tmp_path: Path) -> None:
    example = animated.make(10, missing=(3, 4, 10))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR


def test_frames_with_a_step(api, tmp_path: Path) -> None:
    example = animated.make(5, first=10, step=3)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example, step=3))
    assert not problems and furthest(collection, example) < NEAR
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (10, 24)


def test_a_step_whose_frames_between_are_listed_as_missing(api, tmp_path: Path) -> None:
    """The motion lists every frame of the source; a hand that was not looked for in between is not hidden there."""
    between = tuple(frame for frame in range(10, 23) if (frame - 10) % 3)
    example = animated.make(13, first=10, missing=(*between, 16))
    folder = animated.write(tmp_path / "take", example, step=3)
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["frames"] = [record for record in data["frames"] if record["index"] not in between]
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    collection, problems = api.import_take(folder)
    assert not problems and furthest(collection, example) < NEAR
    hidden = []
    for frame in range(10, 23):
        bpy.context.scene.frame_set(frame)
        if part(collection, "hand", "right").hide_viewport:
            hidden.append(frame)
    assert hidden == [16, 17, 18]
    assert [marker.name for marker in bpy.context.scene.timeline_markers] == ["no right hand 16"]


def test_motion_of_frames_that_were_made_anew_since(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    data = json.loads((folder / "take.json").read_text("utf-8"))
    for clean in ({**data["clean"], "key": "another"}, None):
        data["clean"] = clean
        (folder / "take.json").write_text(json.dumps(data), "utf-8")
        collection, problems = api.import_take(folder)
        assert not problems and not bpy.data.armatures
        assert len([one for one in collection.all_objects if one.type == "MESH"]) == 6


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_hand_only(api, tmp_path: Path, side: str) -> None:
    example = animated.make(3, (side,))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    other = "R" if side == "left" else "L"
    assert not any(one.name.startswith((f"Hand.{other}", f"Rig.{other}")) for one in collection.all_objects)


def test_a_hand_that_is_never_there(api, tmp_path: Path) -> None:
    example = animated.make(3, missing=(1, 2, 3))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    assert {one.name for one in collection.children} == {"Hand.L", "Surface.L", "Surface.R", "Keypoints"}


def test_one_frame(api, tmp_path: Path) -> None:
    example = animated.make(1)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    api.set_smoothing(collection, 0.0)
    assert furthest(collection, example, "_raw") < NEAR


def test_an_older_take_without_template(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("left",)})
    collection, problems = api.import_take(folder)
    assert not problems
    assert {one.name for one in collection.children} == {"Surface.L", "Surface.R", "Keypoints"}
    bpy.context.scene.frame_set(2)
    assert visible() == {"Surface.L 0002"}
    assert not any(place.hide_viewport or place.hide_render for place in collection.children)


def test_a_take_that_lost_its_motion_loses_its_clean_hands(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    api.import_take(folder)
    (folder / "motion.npz").unlink()
    _, problems = api.import_take(folder)
    assert not problems and not bpy.data.armatures and not bpy.data.shape_keys
    bpy.context.scene.frame_set(2)
    assert visible() == {"Surface.L 0002", "Surface.R 0002"}


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("motion.npz", {"left_rotations": np.zeros((2, 3, 4), np.float32)}, "left_rotations is float32"),
        ("motion.npz", {"left_root": np.full((3, 3), np.nan, np.float32)}, "not finite"),
        ("motion.npz", {"right_status": None, "left_status": np.full(3, 9, np.uint8)}, "past 3"),
        ("motion.npz", {"frames": np.array([1, 3, 2], np.int32)}, "not ascending"),
        ("template.npz", {"faces": np.full((4, 4), 99999, np.int32)}, "uv is"),
        ("template.npz", {"bone_parents": np.zeros(21, np.int32)}, "parents before"),
        ("template.npz", {"weights": None}, "lacks weights"),
    ],
)
def test_damaged_animation_leaves_the_surfaces(api, tmp_path: Path, file: str, change: dict, text: str) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    rewrite(folder / file, **change)
    collection, problems = api.import_take(folder)
    assert len(problems) == 1 and text in problems[0] and file in problems[0]
    assert len([one for one in collection.all_objects if one.type == "MESH"]) == 6
    assert not bpy.data.armatures


def test_a_file_that_is_no_archive(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    (folder / "motion.npz").write_bytes(b"PK nothing")
    _, problems = api.import_take(folder)
    assert len(problems) == 1 and "Reconstruct the take again" in problems[0]


def test_bones_of_zero_length(api, tmp_path: Path) -> None:
    example = animated.make(4)
    number = animated.BONES.index("f_index.03")
    for hand in example.hands.values():
        hand.tails[number] = hand.heads[number]
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert len(problems) == 2 and all("f_index.03" in problem for problem in problems)
    assert len(part(collection, "rig", "left").data.bones) == len(animated.BONES)
    assert furthest(collection, example) < NEAR


def test_a_scene_without_a_camera(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    collection, _ = api.import_take(folder, set_scene=False)
    assert bpy.context.scene.camera is None
    bpy.data.objects.remove(next(one for one in collection.objects if one.type == "CAMERA"))
    again, problems = api.import_take(folder)
    assert not problems and again == collection and bpy.context.scene.camera is not None


def test_locked_and_hidden_collections(api, tmp_path: Path) -> None:
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    for one in (collection, *collection.children):
        one.hide_select = True
    layer = bpy.context.view_layer.layer_collection.children[collection.name]
    layer.exclude = True
    for thing in collection.all_objects:
        thing.lock_location = (True, True, True)
    again, problems = api.import_take(folder)
    assert not problems
    layer.exclude = False
    assert furthest(again, example) < NEAR


def test_a_linked_take(addon, api, tmp_path: Path) -> None:
    """A take linked from another file is left alone; importing the same one makes a local one beside it."""
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    api.import_take(folder)
    blend = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(blend), link=True) as (there, here):
        here.collections = [name for name in there.collections if name == "take"]
    (linked,) = here.collections
    bpy.context.scene.collection.children.link(linked)
    collection, problems = api.import_take(folder)
    assert not problems and collection != linked and collection.library is None
    assert furthest(collection, example) < NEAR
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.remove_take(linked)
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.set_smoothing(linked, 0.5)
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.set_rotation_mode(linked, "XYZ")
    api.remove_take(collection)
    assert linked.name in bpy.context.scene.collection.children


def test_nothing_is_left_of_a_deleted_take(api, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    synthetic.write_png(photo, synthetic.picture(160, 120))
    bpy.context.scene.timeline_markers.new("mine", frame=1)
    before = counted()
    example = animated.make(4, missing=(2,))
    folder = animated.write(tmp_path / "take", example, images={1: str(photo)})
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.3)
    api.remove_take(collection)
    assert counted() == before
    assert [marker.name for marker in bpy.context.scene.timeline_markers] == ["mine"]


def test_a_take_deleted_while_shown(api, tmp_path: Path) -> None:
    from test_interface import PANELS, draw

    example = animated.make(4)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    bpy.context.scene.frame_set(3)
    own = bpy.data.objects.new("mine", None)
    part(collection, "rig", "left").users_collection[0].objects.link(own)
    own.parent = next(one for one in collection.objects if one.name.endswith("Origin"))
    bpy.context.view_layer.update()
    place = own.matrix_world.copy()
    assert bpy.ops.im2hands.remove_take(take="take") == {"FINISHED"}
    assert list(bpy.context.scene.objects) == [own], "a person's own object stays"
    assert own.parent is None
    np.testing.assert_allclose(np.array(own.matrix_world), np.array(place), atol=1e-6)
    assert bpy.context.scene.camera is None
    for frame in range(1, 6):
        bpy.context.scene.frame_set(frame)
    for panel in PANELS:
        draw(panel)
    with pytest.raises(RuntimeError, match="no take"):
        bpy.ops.im2hands.remove_take(take="take")
    collection, _ = api.import_take(folder)
    assert furthest(collection, example) < NEAR


def test_parts_deleted_by_hand(api, tmp_path: Path) -> None:
    """What was deleted in the outliner does not break the panels, and comes back with the next import."""
    from test_interface import PANELS, draw

    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    bpy.data.objects.remove(part(collection, "rig", "left"))
    bpy.data.objects.remove(part(collection, "hand", "right"))
    for panel in PANELS:
        draw(panel)
    api.set_smoothing(collection, 0.5)
    api.set_smoothing(collection, 1.0)
    collection, problems = api.import_take(folder)
    assert not problems and furthest(collection, example) < NEAR


def test_undo_and_redo(api, tmp_path: Path) -> None:
    example = animated.make(4)
    folder = animated.write(tmp_path / "take", example)
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    before = counted()
    api.import_take(folder)
    bpy.ops.ed.undo_push(message="import")
    bpy.ops.ed.undo()
    assert counted() == before
    bpy.ops.ed.redo()
    collection = bpy.data.collections["take"]
    assert furthest(collection, example) < NEAR
    bpy.ops.ed.undo()
    collection, _ = api.import_take(folder)
    assert furthest(collection, example) < NEAR


def test_the_same_take_twice(api, tmp_path: Path) -> None:
    example = animated.make(4)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    before, seen = counted(), described(collection)
    again, _ = api.import_take(folder)
    assert again == collection and counted() == before and described(again) == seen
    assert furthest(again, example) < NEAR


def test_names_already_taken(addon, api, tmp_path: Path) -> None:
    """Two takes and a person's own things of the same names: nobody is mixed up."""
    for name in ("Hand.L", "Rig.L", "take Origin", "Camera"):
        bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, None))
    bpy.data.collections.new("Hand.L"), bpy.data.collections.new("take"), bpy.data.actions.new("take Clean Rig.L")
    example, other = animated.make(3), animated.make(3, first=2)
    one, _ = api.import_take(animated.write(tmp_path / "a" / "take", example))
    two, _ = api.import_take(animated.write(tmp_path / "b" / "take", other))
    assert furthest(one, example) < NEAR and furthest(two, other) < NEAR
    assert not set(one.all_objects) & set(two.all_objects)
    api.remove_take(one)
    assert furthest(two, other) < NEAR
    assert {"Hand.L", "Rig.L", "take Origin", "Camera"} <= set(bpy.data.objects.keys())


def test_long_takes_leave_their_surfaces_on_disk(addon, api, tmp_path: Path, monkeypatch) -> None:
    folder = animated.write(tmp_path / "take", animated.make(4))
    collection, _ = api.import_take(folder)
    hidden = [place.hide_viewport and place.hide_render for place in collection.children if "Surface" in place.name]
    assert hidden == [True, True]
    assert len([one for one in collection.all_objects if one.name.startswith("Surface")]) == 8
    monkeypatch.setattr(addon("scene.importer"), "SURFACES_AT_MOST", 3)
    collection, _ = api.import_take(folder)
    assert not any(one.name.startswith("Surface") for one in collection.all_objects)
    bpy.context.scene.frame_set(2)
    assert not bpy.data.objects["wrist.L"].hide_viewport, "keypoints come from the motion"
    assert bpy.ops.im2hands.show_surfaces(take="take") == {"FINISHED"}
    bpy.context.scene.frame_set(2)
    assert {"Surface.L 0002", "Surface.R 0002"} <= visible()
    assert addon("scene.tree").surfaces_are_shown(collection)
    bpy.ops.im2hands.show_surfaces(take="take", shown=False)
    assert not addon("scene.tree").surfaces_are_shown(collection)


def test_two_thousand_frames(addon, api, tmp_path: Path) -> None:
    """How long it takes is measured in benchmarks/blender_import.py."""
    example = animated.make(2000, missing=(700, 701), filled=tuple(range(900, 910)), shapes=16)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example, surfaces=False))
    assert not problems
    rig = part(collection, "rig", "right")
    for action in addon("scene.animation").actions_of(rig):
        count = 1998 if action["im2hands_role"] == "clean" else 1988
        assert {len(one.keyframe_points) for one in addon("scene.animation").action_curves(action)} == {count}
    wanted = in_blender(animated.posed(keep(example, [0, 999, 1999]), "right"))
    for number, frame in enumerate((1, 1000, 2000)):
        bpy.context.scene.frame_set(frame)
        found = evaluated_vertices(part(collection, "hand", "right"))
        assert np.linalg.norm(found - wanted[number], axis=1).max() < NEAR
    blend = tmp_path / "long.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    assert blend.stat().st_size < 150e6


def keep(example: animated.Example, numbers: list[int]) -> animated.Example:
    """Only some frames of an example."""
    hands = {
        side: dataclasses.replace(
            hand,
            status=hand.status[numbers],
            layers={
                name: {array: values[numbers] for array, values in layer.items()} for name, layer in hand.layers.items()
            },
        )
        for side, hand in example.hands.items()
    }
    return dataclasses.replace(example, frames=example.frames[numbers], hands=hands)


def test_without_a_window(api, tmp_path: Path) -> None:
    """Timers have none, and the sidebar's reconstruction ends in one."""
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    with bpy.context.temp_override(window=None):
        collection, problems = api.import_take(folder)
        for ending in (".fbx", ".glb", ".abc", ".usdc", ".bvh"):
            api.export_take(collection, tmp_path / f"hands{ending}")
    assert not problems and furthest(collection, example) < NEAR


@pytest.mark.parametrize("mode", ["EDIT", "POSE"])
def test_in_the_middle_of_editing(api, tmp_path: Path, mode: str) -> None:
    """Importing does not end what a person is editing, and replaces even the rig that is being posed."""
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    data = bpy.data.meshes.new("mine")
    thing = bpy.data.objects.new("mine", data)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    collection, _ = api.import_take(folder)
    assert thing.mode == "EDIT" and bpy.context.view_layer.objects.active == thing
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.objects.active = part(collection, "rig", "left")
    bpy.ops.object.mode_set(mode=mode)
    collection, problems = api.import_take(folder)
    assert not problems and bpy.context.mode == "OBJECT"
    assert furthest(collection, example) < NEAR


def test_a_take_that_is_made_again_shows_its_frames_meanwhile(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    api.import_take(folder)
    importer = addon("scene.importer").TakeImporter(folder)
    collection = importer.add_frames([1, 2])
    shown = {one.name: not one.hide_viewport for one in collection.children}
    assert shown == {"Hand.L": False, "Hand.R": False, "Surface.L": True, "Surface.R": True, "Keypoints": True}
    importer.finish()
    shown = {one.name: not one.hide_viewport for one in collection.children}
    assert shown == {"Hand.L": True, "Hand.R": True, "Surface.L": False, "Surface.R": False, "Keypoints": True}


def test_surfaces_whose_take_is_gone(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    api.import_take(folder, surfaces="NONE")
    shutil.rmtree(folder)
    with pytest.raises(RuntimeError, match="no take in"):
        bpy.ops.im2hands.show_surfaces(take="take")


PLAY = """
import json, sys, bpy, numpy as np
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
assert not hasattr(bpy.context.scene, "im2hands"), "the add-on is there"
for frame in range(1, 7):
    bpy.context.scene.frame_set(frame)
    for side in "LR":
        thing = bpy.data.objects["Hand." + side].evaluated_get(bpy.context.evaluated_depsgraph_get())
        points = np.array([thing.matrix_world @ vertex.co for vertex in thing.data.vertices])
        np.save(sys.argv[2] + f"/{side}{frame}.npy", points)
print("PLAYED")
"""


def test_saved_moved_and_opened_without_the_addon(api, tmp_path: Path) -> None:
    example = animated.make(6)
    folder = animated.write(tmp_path / "take", example)
    api.import_take(folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), compress=True)
    shutil.rmtree(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    blend = shutil.move(tmp_path / "scene.blend", elsewhere / "moved.blend")
    script = tmp_path / "play.py"
    script.write_text(PLAY, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(blend), str(elsewhere)],
        capture_output=True, text=True, timeout=120, check=False,
        env={"BLENDER_USER_RESOURCES": str(tmp_path / "nobody"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "PLAYED" in done.stdout, done.stdout + done.stderr
    for side in example.hands:
        wanted = in_blender(animated.posed(example, side))
        for number in range(6):
            found = np.load(elsewhere / f"{side[0].upper()}{number + 1}.npy")
            assert np.linalg.norm(found - wanted[number], axis=1).max() < NEAR


def test_takes_in_the_sidebar(addon, api, tmp_path: Path) -> None:
    from test_interface import PANELS, draw

    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(2)))
    shown = draw(PANELS[2])
    assert "im2hands_smoothing" in shown.properties
    names = ("remove_take", "show_surfaces", "set_rotation_mode", "export_take", "bake_to_rig")
    assert {f"im2hands.{name}" for name in names} <= set(shown.operators)
    assert bpy.ops.im2hands.set_rotation_mode(take="take", mode="XYZ") == {"FINISHED"}
    assert {bone.rotation_mode for bone in part(collection, "rig", "left").pose.bones} == {"XYZ"}
    draw(PANELS[2])


def test_provenance_is_in_the_file(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["clean"]["settings"] = {"smoothing": 1.5}
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    collection, _ = api.import_take(folder)
    assert json.loads(collection["im2hands_clean"])["settings"] == {"smoothing": 1.5}
    assert json.loads(collection["im2hands_provenance"]) == {"im2hands": "test"}


def test_evaluated_vertices_can_fail(api, tmp_path: Path) -> None:
    example = animated.make(2)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example))
    bpy.context.scene.frame_set(1)
    found = evaluated_vertices(part(collection, "hand", "left"))
    assert np.linalg.norm(found - in_blender(animated.posed(example, "left")[1]), axis=1).max() > 1e-3
