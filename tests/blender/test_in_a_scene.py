"""Takes in a scene with the person's own objects: name clashes, locked, linked or repeated imports, edit mode."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import pytest
from datablocks import counted
from test_clean_hands import NEAR, furthest, part
from test_import import described


@pytest.fixture
def api(addon):
    return addon("api")


def others(problems: list[str]) -> list[str]:
    """The messages but those that the scene was left as it is, which it is where the person has objects in it."""
    return [one for one in problems if "Set Scene to Take" not in one]


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
    """A take linked from another file stays unchanged. Importing the same take makes a local one beside it."""
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
    assert not others(problems) and collection != linked and collection.library is None
    assert furthest(collection, example) < NEAR
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.remove_take(linked)
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.set_smoothing(linked, 0.5)
    with pytest.raises(addon("errors").InputError, match="linked"):
        api.set_rotation_mode(linked, "XYZ")
    api.remove_take(collection)
    assert linked.name in bpy.context.scene.collection.children


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
    """Two takes and the person's own objects of the same names are not confused."""
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


def test_without_a_window(api, tmp_path: Path) -> None:
    """Timers have no window in their context, and a reconstruction from the sidebar ends in a timer."""
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    with bpy.context.temp_override(window=None):
        collection, problems = api.import_take(folder)
        for ending in (".fbx", ".glb", ".abc", ".usdc", ".bvh"):
            api.export_take(collection, tmp_path / f"hands{ending}")
    assert not problems and furthest(collection, example) < NEAR


@pytest.mark.parametrize("mode", ["EDIT", "POSE"])
def test_in_the_middle_of_editing(api, tmp_path: Path, mode: str) -> None:
    """Importing does not leave the person's edit mode, and replaces even a rig that is in pose mode."""
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
    assert not others(problems) and bpy.context.mode == "OBJECT"
    assert furthest(collection, example) < NEAR
