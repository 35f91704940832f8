"""Buttons of the view and overlays: camera, frame, isolate, rigs, keypoints, footage; what a job leaves in sight."""

from __future__ import annotations

import colorsys
from pathlib import Path

import animated
import bpy
import pytest
import synthetic
from test_clean_hands import evaluated_vertices, part
from test_interface import PANELS, draw, follow_to_the_end
from test_views import view


@pytest.fixture
def api(addon):
    return addon("api")


@pytest.fixture
def said(addon, monkeypatch) -> list[str | None]:
    """What was written into the status bar."""
    written: list[str | None] = []
    monkeypatch.setattr(addon("scene.status_bar"), "_write", written.append)
    return written


def add_wall(name: str, place: tuple[float, float, float]) -> bpy.types.Object:
    """A box of 20 cm of the person."""
    bpy.ops.mesh.primitive_cube_add(size=0.2, location=place)
    bpy.context.object.name = name
    return bpy.context.object


def alone(addon, collection: bpy.types.Collection) -> bool:
    bpy.context.view_layer.update()
    return addon("scene.views").is_alone(collection, view(), bpy.context.view_layer)


def test_a_job_says_a_word_in_the_status_bar(addon, api, factory_scene, fake_backend, photo, tmp_path, said) -> None:
    follow_to_the_end(addon, api.start(photo, tmp_path / "take", backend=fake_backend("one_hand")))
    assert "done. 3 frames in take, 1 to check" in said[0]
    addon("scene.status_bar").stop()
    assert said[-1] is None, "the hints for the mouse come back"


def test_a_failed_job_says_so(addon, api, factory_scene, fake_backend, photo, tmp_path, said) -> None:
    follow_to_the_end(addon, api.start(photo, tmp_path / "take", backend=fake_backend("refuses")))
    assert "stopped" in said[0] and "not a picture" in said[0]


def test_a_job_ends_on_a_frame_of_the_take(addon, api, factory_scene, tmp_path: Path) -> None:
    """In a shot that starts elsewhere the person sees hands, not an empty frame; the range stays the shot's."""
    factory_scene.frame_end, factory_scene.frame_current = 2000, 7
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 4), ("left",)))
    collection, _ = api.import_take(folder, timing=api.Timing(start=1001))
    addon("scene.views").present(collection, factory_scene)
    assert factory_scene.frame_current == 1001 and factory_scene.frame_end == 2000


def test_a_take_that_begins_without_hands_is_shown_where_it_has_some(addon, api, factory_scene, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: (), 2: (), 3: ("left",), 4: ("left",)}, failed=(1,))
    collection, _ = api.import_take(folder)
    addon("scene.views").present(collection, factory_scene)
    assert factory_scene.frame_current == 3
    factory_scene.frame_set(4)
    addon("scene.views").present(collection, factory_scene)
    assert factory_scene.frame_current == 4, "a frame that shows a hand stays"


@pytest.mark.parametrize(("place", "is_hidden"), [((0, 0.3, 0), True), ((0, 0.55, -0.05), True), ((0, 0.9, 0), False),
                                                  ((0, -0.4, 0), False), ((3, 0.3, 0), False)])  # fmt: skip
def test_only_what_is_in_the_way_is_left_out(addon, api, factory_scene, tmp_path: Path, place, is_hidden) -> None:
    """The camera is at the world's origin and looks along +Y; the hands are half a metre away."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    wall = add_wall("Wall", place)
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    told = addon("scene.views").present(collection, factory_scene)
    assert bool(told) == is_hidden == alone(addon, collection)
    assert not is_hidden or "Wall" in told[0]
    assert wall.visible_get() and not wall.hide_get(), "nothing is hidden in the scene"


def test_the_latest_of_two_takes_is_seen(addon, api, factory_scene, tmp_path: Path) -> None:
    """Both stand at the same place; the view shows one."""
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    one, _ = api.import_take(synthetic.write_take(tmp_path / "one", {1: ("left", "right")}))
    two, _ = api.import_take(synthetic.write_take(tmp_path / "two", {1: ("left", "right")}))
    addon("scene.views").present(two, factory_scene)
    assert alone(addon, two)
    assert bpy.ops.im2hands.isolate_take(take="one") == {"FINISHED"}
    assert alone(addon, one) and not alone(addon, two)
    assert bpy.ops.im2hands.isolate_take(take="one") == {"FINISHED"}
    assert view().local_view is None


def test_isolate_keeps_a_local_view_of_the_person(addon, api, factory_scene, tmp_path: Path) -> None:
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    addon("scene.views").isolate(collection, bpy.context.window, addon("scene.views").view_of(bpy.context))
    bpy.context.view_layer.update()
    bpy.data.objects["Cube"].local_view_set(view(), True)
    bpy.context.view_layer.update()
    bpy.ops.im2hands.isolate_take(take="take")
    bpy.context.view_layer.update()
    is_in = addon("scene.views").is_in_local_view
    assert view().local_view is not None and is_in(bpy.data.objects["Cube"], view(), bpy.context.view_layer)
    assert [thing.name for thing in bpy.context.selected_objects] == ["Cube"]


def test_camera_shows_the_whole_picture_and_frame_the_hands(addon, api, factory_scene, tmp_path: Path) -> None:
    cam = synthetic.camera(1600, 1200, 900.0)
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left",)}, size=(1600, 1200), cam=cam))
    assert bpy.ops.im2hands.look_through_take(take="take") == {"FINISHED"}
    seen = view().region_3d
    whole, middle = seen.view_camera_zoom, tuple(seen.view_camera_offset)
    assert seen.view_perspective == "CAMERA" and middle[1] == pytest.approx(0)
    assert bpy.ops.im2hands.frame_hands(take="take") == {"FINISHED"}
    assert seen.view_perspective == "CAMERA" and seen.view_camera_zoom > whole
    through = addon("scene.views").view_through
    assert through(collection, bpy.context.window) == addon("scene.views").view_of(bpy.context)
    factory_scene.camera, camera = None, factory_scene.camera
    assert through(collection, bpy.context.window) is None, "a box is drawn in the take's view alone"
    factory_scene.camera = camera
    hands = addon("scene.framing").Hands.of(collection)
    low, high = hands.in_picture(factory_scene.camera.data)
    points = synthetic.project(synthetic.hand_arrays("left", cam, shift=0.002, curl=0.12)["left_keypoints"], cam)
    assert low[0] == pytest.approx((points[:, 0].min() + 0.5) / 1600 - 0.5, abs=1e-3)
    assert high[1] == pytest.approx((600 - points[:, 1].min() - 0.5) / 1600, abs=1e-3)
    assert seen.view_camera_offset[0] - middle[0] > 0.03, "the left hand is on the right of the picture"


def test_frame_in_a_free_view(addon, api, factory_scene, tmp_path: Path) -> None:
    api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    bpy.data.objects["take Origin"].location = (5, 0, 0)
    bpy.context.view_layer.update()
    bpy.ops.im2hands.frame_hands(take="take")
    seen = view().region_3d
    assert seen.view_perspective == "PERSP"
    assert seen.view_location.x == pytest.approx(5, abs=0.1) and seen.view_location.y == pytest.approx(0.55, abs=0.1)
    assert 0.15 <= seen.view_distance < 2
    empty, _ = api.import_take(synthetic.write_take(tmp_path / "empty", {1: ()}))
    assert not addon("scene.views").frame_hands(empty, factory_scene, addon("scene.views").view_of(bpy.context))


def test_the_persons_camera_is_not_zoomed(addon, api, factory_scene, tmp_path: Path) -> None:
    """Frame leaves the view of another camera, rather than to look past it."""
    factory_scene.render.fps = 30
    api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    view().region_3d.view_perspective = "CAMERA"
    before = view().region_3d.view_camera_zoom
    bpy.ops.im2hands.frame_hands(take="take")
    assert view().region_3d.view_perspective == "PERSP" and view().region_3d.view_camera_zoom == before


def test_a_deleted_take_leaves_no_view_through_nothing(addon, api, factory_scene, tmp_path: Path) -> None:
    factory_scene.render.fps = 30
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    addon("scene.views").look_through(collection, factory_scene, addon("scene.views").view_of(bpy.context))
    assert view().use_local_camera
    api.remove_take(collection)
    assert not view().use_local_camera and view().region_3d.view_perspective == "PERSP"


def test_a_view_of_nothing_is_ended(addon, api, factory_scene, tmp_path: Path) -> None:
    """An undo takes a take away without a word; the timer after it ends the local view."""
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    addon("scene.views").present(collection, factory_scene)
    assert view().local_view is not None
    bpy.data.batch_remove(list(collection.all_objects))
    bpy.context.view_layer.update()
    running = addon("running")
    assert running._look_after_undo in bpy.app.handlers.undo_post
    addon("scene.views").end_empty_local_views()
    assert view().local_view is None


def test_overlays(addon, api, tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    synthetic.write_avi(clip, [synthetic.picture(160, 120)] * 4)
    folder = animated.write(tmp_path / "take", animated.make(4), kind="video", files=[str(clip)])
    collection, _ = api.import_take(folder)
    assert collection.im2hands_rigs and not collection.im2hands_keypoints, "the hands are in sight, not 42 spheres"
    bpy.context.scene.frame_set(1)
    before = evaluated_vertices(part(collection, "hand", "left"))
    collection.im2hands_rigs, collection.im2hands_keypoints, collection.im2hands_footage_opacity = False, True, 0.25
    assert part(collection, "rig", "left").hide_viewport
    bpy.context.scene.frame_set(3)
    assert abs(evaluated_vertices(part(collection, "hand", "left")) - before).max() > 1e-3, "hidden rigs still move"
    camera = next(one for one in collection.all_objects if one.type == "CAMERA")
    card = next(one for one in collection.all_objects if one.get("im2hands_role") == "footage")
    for _ in range(2):
        assert camera.data.background_images[0].alpha == pytest.approx(0.25)
        assert card.color[3] == pytest.approx(0.25) and card.use_empty_image_alpha
        assert not collection.im2hands_rigs and collection.im2hands_keypoints
        image = camera.data.background_images[0].image
        collection, _ = api.import_take(folder)
        card = next(one for one in collection.all_objects if one.get("im2hands_role") == "footage")
        assert camera.data.background_images[0].image == image, "one data-block: exchanging it crashes undo in 4.3"
    seen = draw(PANELS[2])
    assert {"im2hands_rigs", "im2hands_keypoints", "im2hands_footage_opacity"} <= set(seen.properties)
    assert {"im2hands.look_through_take", "im2hands.frame_hands", "im2hands.isolate_take"} <= set(seen.operators)


def test_left_and_right_differ_in_solid_views(addon) -> None:
    """Blue and orange: far apart in hue, and in the blue that people without red and green see too."""
    material = addon("scene.materials").hand_material
    left, right = (tuple(material(side).diffuse_color)[:3] for side in ("left", "right"))
    apart = abs(colorsys.rgb_to_hsv(*left)[0] - colorsys.rgb_to_hsv(*right)[0])
    assert 0.4 < apart < 0.6 and left[2] - right[2] > 0.4
    assert all(max(color) > 0.5 for color in (left, right)), "bright enough for Solid views"


def test_import_shows_what_it_brought(api, factory_scene, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right")})
    bpy.ops.im2hands.import_take(filepath=str(folder / "take.json"), show=False)
    assert view().region_3d.view_perspective == "PERSP"
    bpy.ops.im2hands.import_take(filepath=str(folder / "take.json"), use_start=True, start_frame=9)
    assert view().region_3d.view_perspective == "CAMERA"


def test_the_shortcuts(addon, monkeypatch) -> None:
    """Without a window there is no keymap, so this one has a place for it."""
    added = []

    class Items:
        def new(self, *arguments, **options):
            item = type("Item", (), {"properties": type("P", (), {})(), "key": (arguments, options)})()
            added.append(item)
            return item

        def remove(self, item) -> None:
            added.remove(item)

    keymap = addon("keymap")
    keymaps = type("K", (), {"new": lambda self, **_: type("M", (), {"keymap_items": Items()})()})()
    manager = type("W", (), {"keyconfigs": type("C", (), {"addon": type("A", (), {"keymaps": keymaps})()})()})()
    stand_in = type("B", (), {"context": type("X", (), {"window_manager": manager})()})
    monkeypatch.setattr(keymap, "bpy", stand_in)
    keymap.register()
    assert [item.key[0][1] for item in added] == ["RIGHT_ARROW", "LEFT_ARROW"]
    assert [item.properties.backwards for item in added] == [False, True]
    keymap.unregister()
    assert not added
