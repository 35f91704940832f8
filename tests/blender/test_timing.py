"""A take starts where the shot wants it, at its true times and its true size; a person's range is never shrunk."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import pytest
import synthetic
from test_clean_hands import NEAR, evaluated_vertices, in_blender, part
from test_interface import PANELS, draw
from test_scene_settings import add_object


@pytest.fixture
def api(addon):
    return addon("api")


def rig_at(collection: bpy.types.Collection, example: animated.Example, number: int, frame: float) -> float:
    """Distance of the left hand on a scene frame from frame ``number`` of the example, metres."""
    whole = int(frame // 1)
    bpy.context.scene.frame_set(whole, subframe=frame - whole)
    wanted = in_blender(animated.posed(example, "left"))[number]
    return float(abs(evaluated_vertices(part(collection, "hand", "left")) - wanted).max())


def test_a_take_starts_on_a_frame_of_the_scene(addon, api, tmp_path: Path) -> None:
    scene, example = bpy.context.scene, animated.make(9, first=5, doubtful=(8,))
    folder = animated.write(tmp_path / "take", example, kind="video")
    collection, problems = api.import_take(folder, timing=api.Timing(start=1001))
    assert (scene.frame_start, scene.frame_end) == (1001, 1009) and len(problems) == 1
    assert rig_at(collection, example, 0, 1001) < 20 * NEAR and rig_at(collection, example, 8, 1009) < 20 * NEAR
    assert [marker.frame for marker in scene.timeline_markers] == [1004]
    assert collection.im2hands_start_frame == 1001
    collection.im2hands_start_frame = 0
    assert rig_at(collection, example, 8, 8) < 20 * NEAR
    again, _ = api.import_take(folder)
    assert rig_at(again, example, 8, 8) < 20 * NEAR, "importing again keeps the start frame"
    again.im2hands_start_frame = 5
    assert not addon("scene.conform").is_placed(again) and rig_at(again, example, 3, 8) < 20 * NEAR
    assert "im2hands_start_frame" in draw(PANELS[2]).properties


def test_the_footage_starts_with_the_take(api, tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    synthetic.write_avi(clip, [synthetic.numbered_picture(160, 120, number) for number in range(1, 9)])
    example = animated.make(6, first=3)
    folder = animated.write(tmp_path / "take", example, kind="video", files=[str(clip)])
    collection, _ = api.import_take(folder, timing=api.Timing(start=101))
    user = next(one for one in collection.all_objects if one.type == "CAMERA").data.background_images[0].image_user
    for frame in range(101, 107):
        bpy.context.scene.frame_set(frame)
        shown = min(max(frame - user.frame_start + 1, 1), user.frame_duration) + user.frame_offset
        assert shown == frame - 98


@pytest.mark.parametrize("start", [None, 1001])
def test_conformed_on_import(api, tmp_path: Path, start: int | None) -> None:
    """A take of 23.976 frames per second in a scene of 24 is put at its true times, and starts where it should."""
    add_object()
    bpy.context.scene.render.fps = 24
    fps = 24000 / 1001
    example = animated.make(49)
    folder = animated.write(tmp_path / "take", example, kind="video", fps=fps)
    collection, problems = api.import_take(folder, timing=api.Timing(start, True))
    assert not any("fps" in one for one in problems)
    first = 1 if start is None else start
    assert rig_at(collection, example, 48, first + 48 / fps * 24) < 20 * NEAR
    api.start_at(collection, 2001)
    assert rig_at(collection, example, 48, 2001 + 48 / fps * 24) < 20 * NEAR, "it stays conformed"
    api.set_scene_to_take(collection)
    assert rig_at(collection, example, 48, 2049) < 20 * NEAR


@pytest.mark.parametrize(("take", "fps", "base", "fits"), [
    (24000 / 1001, 24, 1.001, True), (23.976, 24, 1.001, True), (24.0, 24, 1.001, False),
    (24000 / 1001, 24, 1.0, False), (29.97, 30, 1.001, True), (30.0, 30, 1.001, False),
])  # fmt: skip
def test_rates_that_look_alike(api, tmp_path: Path, take: float, fps: int, base: float, fits: bool) -> None:
    """23.976 and 24000/1001 are the same rate; 24 is another, though it differs by a thousandth."""
    add_object()
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = fps, base
    frames = dict.fromkeys(range(1, 4), ("left",))
    _, problems = api.import_take(synthetic.write_take(tmp_path / "take", frames, kind="video", fps=take))
    assert any("fps" in one for one in problems) == (not fits), problems
    assert ("im2hands.conform_to_scene" in draw(PANELS[2]).operators) == (not fits)


def test_a_persons_range_is_only_extended(api, tmp_path: Path) -> None:
    add_object()
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 50, 400
    frames = dict.fromkeys(range(40, 61), ("left",))
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", frames))
    assert (scene.frame_start, scene.frame_end) == (50, 400)
    api.set_scene_to_take(collection)
    assert (scene.frame_start, scene.frame_end) == (40, 400)
    api.remove_take(collection)
    assert (scene.frame_start, scene.frame_end) == (50, 400)


@pytest.mark.parametrize(("system", "unit"), [("IMPERIAL", 0.3048), ("METRIC", 0.01)])
def test_a_scene_in_other_units(api, tmp_path: Path, system: str, unit: float) -> None:
    """In a scene of feet or centimetres the hands have their true size, and lie over the footage."""
    settings = bpy.context.scene.unit_settings
    settings.system, settings.scale_length = system, unit
    collection, problems = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    bpy.context.view_layer.update()
    places = {one.name: one.matrix_world.translation for one in collection.all_objects}
    palm = (places["wrist.L"] - places["middle_mcp.L"]).length * unit
    one = synthetic.hand_arrays("left", synthetic.camera(160, 120), shift=0.002, curl=0.12)["left_keypoints"]
    assert not problems and palm == pytest.approx(((one[0] - one[9]) ** 2).sum() ** 0.5, rel=1e-4)
    data = next(one for one in collection.all_objects if one.type == "CAMERA").data
    assert (data.clip_start * unit, data.clip_end * unit) == pytest.approx((0.01, 100.0))


def test_the_lens_of_the_scenes_camera(addon, tmp_path: Path) -> None:
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    scene, settings = bpy.context.scene, bpy.context.scene.im2hands
    settings.camera = "scene"
    properties, errors = addon("properties"), addon("errors")
    with pytest.raises(errors.InputError, match="no camera"):
        properties.options_of(settings)
    thing = bpy.data.objects.new("shot", bpy.data.cameras.new("shot"))
    scene.collection.objects.link(thing)
    scene.camera = thing
    thing.data.lens, thing.data.shift_x, thing.data.sensor_fit = 35.0, 0.1, "VERTICAL"
    scene.render.resolution_x, scene.render.resolution_y = 640, 360
    bpy.context.view_layer.update()
    found = json.loads(Path(properties.options_of(settings)["camera"]).read_text("utf-8"))
    seen = world_to_camera_view(scene, thing, Vector((0.2, 0.1, -1.0)))
    assert (found["width"], found["height"]) == (640, 360)
    assert found["cx"] + found["fx"] * 0.2 == pytest.approx(seen.x * 640 - 0.5, abs=1e-3)
    assert found["cy"] - found["fy"] * 0.1 == pytest.approx((1 - seen.y) * 360 - 0.5, abs=1e-3)
    thing.data.type = "ORTHO"
    bpy.context.view_layer.update()
    with pytest.raises(errors.InputError, match="perspective"):
        properties.options_of(settings)


def test_the_lens_of_a_movie_clip(addon, tmp_path: Path) -> None:
    settings = bpy.context.scene.im2hands
    settings.camera = "clip"
    properties = addon("properties")
    with pytest.raises(addon("errors").InputError, match="clip"):
        properties.options_of(settings)
    path = tmp_path / "clip.avi"
    synthetic.write_avi(path, [synthetic.picture(160, 120)])
    settings.movie_clip = bpy.data.movieclips.load(str(path))
    camera = settings.movie_clip.tracking.camera
    camera.focal_length_pixels = 200.0
    camera.principal_point_pixels = (70.0, 50.0)
    found = json.loads(Path(properties.options_of(settings)["camera"]).read_text("utf-8"))
    assert found["fx"] == found["fy"] == pytest.approx(200.0, rel=1e-5)
    assert (found["cx"], found["cy"]) == pytest.approx((69.5, 69.5), abs=1e-3)
    assert "movie_clip" in draw(PANELS[1]).properties


def test_palm_hands_and_timing_are_options() -> None:
    settings = bpy.context.scene.im2hands
    settings.use_start = True
    assert {"palm_mm", "hands", "use_start", "start_frame", "conform", "set_scene"} <= set(draw(PANELS[1]).properties)


def test_a_job_starts_where_the_settings_say(addon, api, fake_backend, photo, tmp_path: Path) -> None:
    timing = addon("properties").timing_of
    settings = bpy.context.scene.im2hands
    assert timing(settings) == api.Timing()
    settings.use_start, settings.start_frame = True, 101
    result = api.reconstruct(photo, tmp_path / "take", backend=fake_backend("good"), timing=timing(settings))
    assert result.collection.im2hands_start_frame == 101
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (101, 103)
    surface = next(one for one in result.collection.all_objects if one.name.startswith("Surface.L 0002"))
    bpy.context.scene.frame_set(102)
    assert surface.visible_get()
    bpy.context.scene.frame_set(2)
    assert not surface.visible_get()


def test_an_overridden_take_is_not_changed(addon, api, tmp_path: Path) -> None:
    """A library override of a linked take is seen, but its keys belong to the other file."""
    folder = animated.write(tmp_path / "take", animated.make(3, doubtful=(2,)))
    api.import_take(folder)
    blend = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(str(blend), link=True) as (there, here):
        here.collections = [name for name in there.collections if name == "take"]
    scene = bpy.context.scene
    scene.collection.children.link(here.collections[0])
    own = here.collections[0].override_hierarchy_create(scene, bpy.context.view_layer)
    error = addon("errors").InputError
    for change in (
        lambda: api.start_at(own, 50),
        lambda: api.conform_to_scene(own),
        lambda: api.remove_take(own),
        lambda: addon("scene.doubt").color_meshes(own, True),
        lambda: addon("scene.overlays").show_rigs(own, False),
    ):
        with pytest.raises(error, match="linked"):
            change()
    own.im2hands_start_frame = 50  # the field is greyed out; a script may still set it
    assert own.im2hands_start_frame == 1
    draw(PANELS[2])
    local, _ = api.import_take(folder)
    assert local != own and local.library is None and local.override_library is None
    api.remove_take(local)
