"""The implicit surfaces of a take with clean hands: imported, shown, or left on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import animated
import bpy
import pytest
from test_import import visible


@pytest.fixture
def api(addon):
    return addon("api")


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
