"""At the end of a job the hands are in view, through their camera, over the photo; nothing is hidden."""

from __future__ import annotations

from pathlib import Path

import bpy
import pytest
import synthetic
from test_interface import PANELS, draw, follow_to_the_end


@pytest.fixture
def api(addon):
    return addon("api")


def view() -> bpy.types.SpaceView3D:
    (area,) = (area for area in bpy.context.window.screen.areas if area.type == "VIEW_3D")
    return area.spaces.active


def seen_alone(addon) -> set[str]:
    """The visible objects in the local view of the only 3D view."""
    layer = bpy.context.view_layer
    layer.update()
    is_in = addon("scene.views").is_in_local_view
    return {thing.name for thing in layer.objects if thing.visible_get() and is_in(thing, view(), layer)}


def of_take(collection: bpy.types.Collection) -> set[str]:
    return {thing.name for thing in collection.all_objects if thing.visible_get()}


def test_a_job_ends_in_the_view_of_its_camera(
    addon, api, factory_scene, fake_backend, photo, tmp_path: Path, monkeypatch
) -> None:
    timelines: list[str] = []
    monkeypatch.setattr(addon("scene.views"), "_fit_timelines", lambda window: timelines.append(window.scene.name))
    cube = bpy.data.objects["Cube"]
    assert view().region_3d.view_perspective == "PERSP"
    follow_to_the_end(addon, api.start(photo, tmp_path / "take", backend=fake_backend("good")))
    camera = next(one for one in bpy.data.collections["take"].all_objects if one.type == "CAMERA")
    assert view().region_3d.view_perspective == "CAMERA" and factory_scene.camera == camera
    assert camera.data.show_background_images and camera.data.background_images[0].image is not None
    assert view().local_view is not None, "the cube around the hands is left out of this view"
    assert cube.visible_get() and cube.select_get()
    assert timelines[-1:] == [factory_scene.name]
    alone = seen_alone(addon)
    assert alone == of_take(bpy.data.collections["take"]) and camera.name in alone
    factory_scene.frame_set(2)
    assert any("0002" in name for name in seen_alone(addon)), "what shows up later is seen too"
    assert "Cube would hide the hands" in " ".join(draw(PANELS[0]).texts)


def test_a_second_job_is_in_the_local_view_too(addon, api, factory_scene, fake_backend, photo, tmp_path: Path) -> None:
    for _ in range(2):
        follow_to_the_end(addon, api.start(photo, tmp_path / "take", backend=fake_backend("good")))
    assert seen_alone(addon) == of_take(bpy.data.collections["take"])
    collection, _ = api.import_take(tmp_path / "take")
    assert seen_alone(addon) == of_take(collection), "what an import makes anew is seen"


@pytest.mark.parametrize("cube", ["moved", "hidden", "deleted"])
def test_no_local_view_without_need(addon, api, factory_scene, tmp_path: Path, cube: str) -> None:
    thing = bpy.data.objects["Cube"]
    if cube == "moved":
        thing.location.x = 5
    elif cube == "hidden":
        thing.hide_set(True)
    else:
        bpy.data.objects.remove(thing)
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    assert addon("scene.views").present(collection, factory_scene) == []
    assert view().local_view is None and view().region_3d.view_perspective == "CAMERA"


def test_the_scenes_own_camera_stays(addon, api, factory_scene, tmp_path: Path) -> None:
    factory_scene.render.fps = 30
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    addon("scene.views").present(collection, factory_scene)
    assert factory_scene.camera == bpy.data.objects["Camera"]
    assert view().use_local_camera and view().camera.name in collection.all_objects


def test_another_scene_in_the_window_stays(addon, api, factory_scene, tmp_path: Path) -> None:
    other = bpy.data.scenes.new("other")
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}), scene=other)
    addon("scene.views").present(collection, other)
    addon("scene.views").present(collection, other, [])
    assert view().region_3d.view_perspective == "PERSP"


@pytest.mark.parametrize("is_own_there", [False, True])
def test_a_deleted_take_leaves_no_empty_view(addon, api, factory_scene, tmp_path: Path, is_own_there: bool) -> None:
    """The cube is seen again, as before; a local view with something of the person's in it stays."""
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    assert addon("scene.views").present(collection, factory_scene)
    bpy.context.view_layer.update()
    if is_own_there:
        bpy.data.objects["Light"].local_view_set(view(), True)
        bpy.context.view_layer.update()
    api.remove_take(collection)
    assert (view().local_view is not None) == is_own_there
    if not is_own_there:
        assert view().region_3d.view_perspective == "PERSP"
