"""Corrections by hand in Blender: stick hands, the other tools, and frames that a real backend makes again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import bmesh
import bpy
import numpy as np
import pytest
import synthetic
from test_interface import draw, no_disk

FRAMES = 5
SIZE = (320, 240)
FOCAL = 300.0


@pytest.fixture
def api(addon):
    return addon("api")


def sources(folder: Path) -> tuple[list[str], dict]:
    """Five numbered pictures, and options with keypoints from a file: two hands that move a little."""
    (folder / "shots").mkdir()
    for number in range(1, FRAMES + 1):
        synthetic.write_png(folder / "shots" / f"s{number:03}.png", synthetic.picture(*SIZE, seed=number))
    frames = {}
    for number in range(1, FRAMES + 1):
        places = {"left": (-0.08, 0.06, 0.5 + 0.002 * number), "right": (0.08, 0.06, 0.5)}
        frames[f"{number:06}"] = {
            side: synthetic.keypoints(side, place).astype(float).tolist() for side, place in places.items()
        }
    (folder / "keypoints.json").write_text(json.dumps({"frames": frames}))
    options = {
        "keypoints": str(folder / "keypoints.json"), "voxel_mm": 6.0, "device": "cpu", "template_density": 0,
        "focal_px": FOCAL,
    }  # fmt: skip
    return [str(folder / "shots")], options


@pytest.fixture(scope="module")
def made(addon, tmp_path_factory: pytest.TempPathFactory):
    """The folder of a take that the real backend made."""
    import os

    folder = tmp_path_factory.mktemp("corrections")
    inputs, options = sources(folder)
    result = addon("api").reconstruct(inputs, folder / "take", backend=os.environ["IM2HANDS_BACKEND"], **options)
    assert result.exit_code == 0
    return folder / "take"


@pytest.fixture
def take(made: Path, api, tmp_path: Path) -> SimpleNamespace:
    """A copy of that take, imported with the surfaces shown."""
    import shutil

    folder = Path(shutil.copytree(made, tmp_path / "take"))
    collection, problems = api.import_take(folder, surfaces="SHOW")
    assert not problems
    return SimpleNamespace(folder=folder, collection=collection)


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def surface(collection: bpy.types.Collection, side: str, frame: int) -> np.ndarray:
    thing = collection.all_objects[f"Surface.{side} {frame:04d}"]
    found = np.empty(len(thing.data.vertices) * 3, np.float32)
    thing.data.vertices.foreach_get("co", found)
    return found


def tip(collection: bpy.types.Collection, frame: int) -> np.ndarray:
    """The tip of the left index finger of the clean rig, world space."""
    bpy.context.scene.frame_set(frame)
    rig = next(one for one in collection.all_objects if one.type == "ARMATURE" and one.name.endswith(".L"))
    rig = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array(rig.matrix_world @ rig.pose.bones["f_index.03.L"].tail)


def drag_finger(stick: bpy.types.Object, degrees: float = 20.0) -> None:
    """Turn the index finger about its knuckle, parallel to the picture, as a person does in edit mode."""
    assert stick.mode == "EDIT"
    content = bmesh.from_edit_mesh(stick.data)
    content.verts.ensure_lookup_table()
    knuckle = content.verts[5].co.copy()
    turn = np.radians(degrees)
    for number in (6, 7, 8):
        x, y, z = content.verts[number].co - knuckle
        content.verts[number].co = knuckle + type(knuckle)(
            (np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y, z)
        )
    bmesh.update_edit_mesh(stick.data)


def test_a_dragged_finger_moves_only_its_frame_and_comes_back(api, take, real_backend: str) -> None:
    collection, frame = take.collection, 3
    before = digests(take.folder)
    meshes = {(side, k): surface(collection, side, k) for side in "LR" for k in range(1, FRAMES + 1)}
    tips = {k: tip(collection, k) for k in range(1, FRAMES + 1)}
    bpy.context.scene.frame_set(frame)
    left, _ = api.edit_keypoints(collection)
    assert [one.name for one in (left, _)] == ["Edit.L", "Edit.R"]
    drag_finger(left)
    (name,) = api.apply_keypoints(collection)
    assert bpy.context.mode == "OBJECT"
    assert not [one for one in collection.all_objects if one.name.startswith("Edit.")]
    (edit,) = api.edits(collection)
    assert edit["id"] == name
    assert list(edit["points"]) == ["index_pip", "index_dip", "index_tip"]
    assert all(len(place) == 2 for place in edit["points"].values()), "the depth is kept"
    assert changed(before, digests(take.folder)) == set()
    pinned = api.pin_hand(collection, "left", frame)

    result = api.rebuild_frames(collection, backend=real_backend)
    assert result.exit_code == 0
    assert changed(before, digests(take.folder)) == {
        f"frames/{frame:06}.npz", "take.json", "motion.npz", "edits.json",
    }  # fmt: skip
    for (side, k), vertices in meshes.items():
        now = surface(collection, side, k)
        is_same = now.shape == vertices.shape and np.array_equal(now, vertices)
        assert is_same == (k != frame), (side, k)  # the surface of either hand depends on both
    moved = {k: float(np.linalg.norm(tip(collection, k) - tips[k])) for k in tips}
    assert moved[frame] > 0.015
    assert min(moved[frame - 1], moved[frame + 1]) > 0.002, "the frames beside a pinned one follow"
    assert moved[frame] > max(moved[frame - 1], moved[frame + 1])
    assert {one["id"] for one in api.edits(collection)} == {name, pinned}

    api.remove_edit(collection, name)
    api.remove_edit(collection, pinned)
    api.rebuild_frames(collection, backend=real_backend)
    assert changed(before, digests(take.folder)) == set(), "an edit taken back leaves no trace"
    for k, place in tips.items():
        np.testing.assert_allclose(tip(collection, k), place, atol=1e-6)
    np.testing.assert_array_equal(surface(collection, "L", frame), meshes["L", frame])


def test_absent_by_the_operators(api, addon, take, real_backend: str) -> None:
    collection = take.collection
    own = bpy.context.preferences.addons[addon("api").__package__].preferences
    own.backend = real_backend
    assert bpy.ops.im2hands.mark_absent(take=collection.name, side="left", first=2, last=3) == {"FINISHED"}
    assert bpy.ops.im2hands.rebuild_frames(take=collection.name) == {"FINISHED"}
    names = {one.name for one in collection.all_objects}
    assert "Surface.L 0002" not in names and "Surface.R 0002" in names and "Surface.L 0004" in names
    assert collection["im2hands_partial"] == 2
    mesh = next(one for one in collection.all_objects if one.type == "MESH" and one.name.startswith("Hand.L"))
    bpy.context.scene.frame_set(3)
    assert mesh.hide_viewport, "no motion is filled in where a person said that there is no hand"
    assert any("no left hand" in marker.name for marker in bpy.context.scene.timeline_markers)
    assert bpy.ops.im2hands.swap_sides(take=collection.name, first=4, last=5) == {"FINISHED"}
    assert bpy.ops.im2hands.pin_hand(take=collection.name, side="right", first=1, last=1) == {"FINISHED"}
    assert [one["kind"] for one in api.edits(collection)] == ["absent", "swap", "pin"]
    assert bpy.ops.im2hands.remove_edit(take=collection.name, edit=api.edits(collection)[1]["id"]) == {"FINISHED"}
    assert [one["kind"] for one in api.edits(collection)] == ["absent", "pin"]


def test_depth_and_discard(api, addon, take) -> None:
    collection = take.collection
    bpy.context.scene.frame_set(2)
    assert bpy.ops.im2hands.edit_keypoints(take=collection.name) == {"FINISHED"}
    (left,) = [one for one in collection.all_objects if one.name == "Edit.L"]
    content = bmesh.from_edit_mesh(left.data)
    content.verts.ensure_lookup_table()
    content.verts[8].select = True
    before = content.verts[8].co.copy()
    assert bpy.ops.im2hands.move_in_depth(take=collection.name, distance=0.01) == {"FINISHED"}
    content = bmesh.from_edit_mesh(left.data)
    content.verts.ensure_lookup_table()
    after = content.verts[8].co
    assert after.z == pytest.approx(before.z - 0.01, abs=1e-6)
    assert after.x / after.z == pytest.approx(before.x / before.z, abs=1e-6)
    bpy.context.scene.unit_settings.scale_length = 0.01
    assert bpy.ops.im2hands.move_in_depth(take=collection.name, distance=1.0) == {"FINISHED"}
    (name,) = api.apply_keypoints(collection)
    (edit,) = api.edits(collection)
    assert edit["points"]["index_tip"][2] == pytest.approx(0.02, abs=1e-4), "the distance is in units of the scene"
    api.edit_keypoints(collection)
    drag_finger(next(one for one in collection.all_objects if one.name == "Edit.L"))
    assert bpy.ops.im2hands.apply_keypoints(take=collection.name, discard=True) == {"FINISHED"}
    assert [one["id"] for one in api.edits(collection)] == [name]
    with pytest.raises(RuntimeError, match="Start Edit Keypoints"):
        bpy.ops.im2hands.move_in_depth(take=collection.name)
    lines, colours, points, _ = addon("scene.stick_overlay").lines_of(api.edit_keypoints(collection)[0])
    assert (len(lines), len(colours), len(points)) == (40, 40, 21)
    api.apply_keypoints(collection)


def test_what_cannot_be_corrected_is_told(api, addon, take, real_backend: str) -> None:
    collection = take.collection
    errors = addon("errors")
    for call, said in (
        (lambda: api.mark_absent(collection, "left", 9), "has no frame 9"),
        (lambda: api.swap_sides(collection, 8, 12), "has no frames 8 to 12"),
        (lambda: api.swap_sides(collection, 3, 2), "run backwards"),
        (lambda: api.pin_hand(collection, "up", 3), 'no side "up"'),
        (lambda: api.draw_box(collection, "left", 3, (500, 10, 600, 90)), "no area in the picture"),
        (lambda: api.correct_keypoints(collection, "left", 3, {"nose": (1, 2)}), "no keypoint nose"),
        (lambda: api.remove_edit(collection, "none"), "no correction none"),
    ):
        with pytest.raises(errors.InputError, match=said):
            call()
    for operator in ("mark_absent", "swap_sides", "pin_hand", "draw_box"):
        for how in ("INVOKE_DEFAULT", "EXEC_DEFAULT"):
            with pytest.raises(RuntimeError, match="no take none") as caught:
                getattr(bpy.ops.im2hands, operator)(how, take="none")
            assert "Traceback" not in str(caught.value), operator
    bpy.context.scene.frame_set(40)
    with pytest.raises(errors.InputError, match="no frame 40"):
        api.edit_keypoints(collection)
    before = digests(take.folder)
    name = api.correct_keypoints(collection, "left", 3, {"index_tip": (9000, 20)})
    with pytest.raises(errors.AddonError, match="beyond the picture"):
        api.rebuild_frames(collection, backend=real_backend)
    assert changed(before, digests(take.folder)) == set()
    assert [one["id"] for one in api.edits(collection)] == [name], "it stays, to be mended"
    bpy.context.scene.frame_set(3)
    left, _ = api.edit_keypoints(collection)
    content = bmesh.from_edit_mesh(left.data)
    content.verts.ensure_lookup_table()
    content.verts.remove(content.verts[8])
    bmesh.update_edit_mesh(left.data)
    with pytest.raises(errors.InputError, match="20 vertices in place of 21"):
        api.apply_keypoints(collection)
    api.apply_keypoints(collection, discard=True)


def test_two_blenders(api, addon, take, real_backend: str) -> None:
    """Edits that another program wrote are neither lost nor overwritten; what was not sent stays over an import."""
    collection = take.collection
    mine = api.pin_hand(collection, "left", 2)
    theirs = {"format": "im2hands-edits", "version": 1,
              "edits": [{"id": "theirs", "kind": "pin", "frame": 4, "side": "right"}]}  # fmt: skip
    (take.folder / "edits.json").write_text(json.dumps(theirs))
    with pytest.raises(addon("errors").AddonError, match="changed by another program"):
        api.rebuild_frames(collection, backend=real_backend)
    again, _ = api.import_take(take.folder)
    assert [one["id"] for one in api.edits(again)] == ["theirs", mine]
    assert api.rebuild_frames(again, backend=real_backend).exit_code == 0
    written = json.loads((take.folder / "edits.json").read_text())
    assert [one["id"] for one in written["edits"]] == ["theirs", mine]
    pointless = {**theirs, "edits": [{"id": "theirs", "kind": "keypoints", "frame": 4, "side": "right"}]}
    for damaged in ("{", json.dumps(pointless)):
        (take.folder / "edits.json").write_text(damaged)
        _, problems = api.import_take(take.folder)
        assert any("edits.json" in problem for problem in problems)


def test_keys_of_other_frames_stay_where_they_are_conformed(api, addon, take) -> None:
    """Frames are replaced in a take whose keys lie at the times of a scene with another frame rate."""
    collection, scene = take.collection, bpy.context.scene
    scene.render.fps, scene.render.fps_base = 50, 1.0
    api.conform_to_scene(collection, scene)

    def keys() -> dict[str, list[tuple[float, float]]]:
        curves = addon("scene.animation").curves
        return {
            f"{thing.name} {curve.data_path} {curve.array_index}": [tuple(key.co) for key in curve.keyframe_points]
            for thing in collection.all_objects
            for curve in curves(thing)
        }

    before = keys()
    addon("scene.importer").TakeImporter(take.folder, scene, set_scene=False).replace_frames({3})
    after = keys()
    assert after.keys() == before.keys()
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-4, err_msg=name)
    scene.frame_set(5)
    assert api.edit_keypoints(collection)[0]["im2hands_frame"] == 3
    api.apply_keypoints(collection, discard=True)


def test_a_take_that_was_deleted_meanwhile_is_imported_whole(api, addon, take) -> None:
    api.remove_take(take.collection)
    again = addon("scene.importer").TakeImporter(take.folder, set_scene=False).replace_frames({3})
    camera = next(one for one in again.all_objects if one.type == "CAMERA")
    assert len(camera.data.background_images), "there is footage, as after an import"
    api.start_at(again, 11)
    assert again.im2hands_start_frame == 11


def test_saved_with_the_file(api, take, tmp_path: Path) -> None:
    collection = take.collection
    name = api.mark_absent(collection, "left", 2)
    path = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert [one["id"] for one in api.edits(api.takes()[0])] == [name]


def test_the_panel_shows_the_list_and_asks_nothing_of_the_disk(api, take) -> None:
    collection = take.collection
    name = api.correct_keypoints(collection, "left", 3, {"index_tip": (100, 90)})
    api.swap_sides(collection, 2, 4)
    with no_disk():
        shown = draw("VIEW3D_PT_im2hands_corrections")
    assert {"3: left index tip", "2-4: sides swapped"} <= set(shown.texts)
    assert any("2 changes are not in the frames yet" in text for text in shown.texts)
    assert shown.operators.count("im2hands.remove_edit") == 2
    assert {"im2hands.edit_keypoints", "im2hands.rebuild_frames", "im2hands.draw_box"} <= set(shown.operators)
    bpy.context.scene.frame_set(2)
    api.edit_keypoints(collection)
    bpy.context.scene.frame_set(4)
    with no_disk():
        shown = draw("VIEW3D_PT_im2hands_corrections")
    assert {"im2hands.apply_keypoints", "im2hands.move_in_depth"} <= set(shown.operators)
    assert "The stick hands are those of frame 2." in shown.texts
    api.apply_keypoints(collection, discard=True)
    api.remove_edit(collection, name)
    assert draw("VIEW3D_PT_im2hands_corrections").operators.count("im2hands.remove_edit") == 1


def test_edits_from_the_command_line(addon, made: Path, tmp_path: Path, real_backend: str) -> None:
    """`blender --command im2hands reconstruct --edits FILE`: the option flows through the table."""
    inputs, options = sources(tmp_path)
    edits = {"format": "im2hands-edits", "version": 1,
             "edits": [{"id": "gone", "kind": "absent", "frames": [2, 3], "side": "left"}]}  # fmt: skip
    (tmp_path / "edits.json").write_text(json.dumps(edits))
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    code = addon("command_line").run(
        ["reconstruct", *inputs, "--output", str(tmp_path / "take"), "--backend", real_backend, "--stage", "keypoints",
         "--edits", str(tmp_path / "edits.json"), *given]
    )  # fmt: skip
    assert code == 0
    records = json.loads((tmp_path / "take" / "take.json").read_text())["frames"]
    assert [record["status"] for record in records] == ["ok", "partial", "partial", "ok", "ok"]
    assert json.loads((tmp_path / "take" / "edits.json").read_text()) == edits


def test_a_backend_without_rebuild_is_told(api, addon, take, fake_backend) -> None:
    with pytest.raises(addon("errors").BackendError, match="older than this add-on"):
        api.rebuild_frames(take.collection, backend=fake_backend("good"))
    with pytest.raises(addon("errors").BackendError, match="Rebuild Frames continues"):
        api.rebuild_frames(take.collection, backend=fake_backend("dies"))
