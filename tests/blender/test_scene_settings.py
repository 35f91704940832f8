"""Only an untouched scene is fitted to a take; it is given back on deletion; another rate is told and can be met."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from datablocks import counted
from test_clean_hands import NEAR, evaluated_vertices, furthest, in_blender, part
from test_interface import PANELS, draw

HANDS = {1: ("left", "right"), 2: ("left",), 3: (), 5: ("left", "right")}


@pytest.fixture
def api(addon):
    return addon("api")


def settings(addon) -> dict:
    return addon("scene.scene_settings").read_settings(bpy.context.scene)


def add_object() -> bpy.types.Object:
    thing = bpy.data.objects.new("mine", bpy.data.meshes.new("mine"))
    bpy.context.scene.collection.objects.link(thing)
    return thing


def test_a_new_scene_is_untouched_and_fitted(addon, api, factory_scene, tmp_path: Path) -> None:
    assert addon("scene.scene_settings").is_untouched(factory_scene)
    folder = synthetic.write_take(tmp_path / "take", HANDS, fps=29.97, size=(200, 90))
    collection, problems = api.import_take(folder)
    assert not problems and (factory_scene.frame_start, factory_scene.frame_end) == (1, 5)
    assert factory_scene.render.resolution_x == 200 and factory_scene.camera.name in collection.all_objects


TOUCHES = {
    "an object": lambda scene: add_object(),
    "a moved cube": lambda scene: setattr(bpy.data.objects["Cube"], "location", (1, 0, 0)),
    "a keyed cube": lambda scene: bpy.data.objects["Cube"].keyframe_insert("location", frame=1),
    "a shaped cube": lambda scene: bpy.data.objects["Cube"].modifiers.new("Bevel", "BEVEL"),
    "a keyed scene": lambda scene: scene.keyframe_insert("gravity", frame=1),
    "rate": lambda scene: setattr(scene.render, "fps", 30),
    "range": lambda scene: setattr(scene, "frame_end", 100),
    "size": lambda scene: setattr(scene.render, "resolution_x", 1280),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_scene_that_was_touched_is_left(addon, api, factory_scene, tmp_path: Path, touch: str) -> None:
    TOUCHES[touch](factory_scene)
    assert not addon("scene.scene_settings").is_untouched(factory_scene)
    before = settings(addon)
    _, problems = api.import_take(synthetic.write_take(tmp_path / "take", HANDS, fps=60))
    assert settings(addon) == before
    here = before["fps"]
    assert any(f"has 60 fps, the scene {here}" in one and "Conform" in one for one in problems)
    assert any("left as it is" in one and "160 x 120" in one for one in problems)


def test_a_scene_that_fits_is_not_talked_about(api, tmp_path: Path) -> None:
    scene = bpy.context.scene
    add_object()
    scene.render.fps, scene.render.resolution_x, scene.render.resolution_y = 25, 160, 120
    _, problems = api.import_take(synthetic.write_take(tmp_path / "take", HANDS))
    assert not problems


def test_unrelated_photos_have_no_rate(api, tmp_path: Path) -> None:
    add_object()
    images = {1: str(tmp_path / "a.png"), 2: str(tmp_path / "b.png")}
    for path in images.values():
        synthetic.write_png(Path(path), synthetic.picture(160, 120))
    frames = {1: ("left",), 2: ("left",)}
    _, problems = api.import_take(synthetic.write_take(tmp_path / "take", frames, images=images))
    assert not any("fps" in one for one in problems)


@pytest.mark.parametrize("first", ["long", "short"])
def test_a_second_take_never_shortens_the_range(addon, api, tmp_path: Path, first: str) -> None:
    frames = {"long": dict.fromkeys(range(3, 41), ("left",)), "short": dict.fromkeys(range(1, 6), ("left",))}
    second = "short" if first == "long" else "long"
    scene = bpy.context.scene
    one, _ = api.import_take(synthetic.write_take(tmp_path / first, frames[first]))
    two, problems = api.import_take(synthetic.write_take(tmp_path / second, frames[second]))
    assert (scene.frame_start, scene.frame_end) == (1, 40) and not problems
    api.remove_take(two)
    assert (scene.frame_start, scene.frame_end) == (min(frames[first]), max(frames[first]))
    assert scene.camera.name in one.all_objects
    api.remove_take(one)
    assert settings(addon) == {**addon("scene.scene_settings").FACTORY, "camera": ""}


def test_the_first_of_two_takes_is_deleted(addon, api, factory_scene, tmp_path: Path) -> None:
    before = settings(addon)
    one, _ = api.import_take(synthetic.write_take(tmp_path / "one", HANDS))
    two, _ = api.import_take(synthetic.write_take(tmp_path / "two", dict.fromkeys(range(1, 41), ("left",))))
    api.remove_take(one)
    scene = factory_scene
    assert (scene.frame_end, scene.render.fps) == (40, 25), "the other take still needs it"
    assert scene.camera.name in two.all_objects
    api.remove_take(two)
    assert settings(addon) == before and scene.camera.name == "Camera"


def test_deleting_gives_back_what_nobody_changed(addon, api, factory_scene, tmp_path: Path) -> None:
    before = settings(addon)
    folder = synthetic.write_take(tmp_path / "take", HANDS, fps=60)
    collection, _ = api.import_take(folder)
    collection, _ = api.import_take(folder)
    factory_scene.render.fps = 50
    api.remove_take(collection)
    assert settings(addon) == {**before, "fps": 50}


def test_a_growing_take_keeps_the_scene_in_step(addon, api, tmp_path: Path) -> None:
    scene, folder = bpy.context.scene, tmp_path / "take"
    importer = addon("scene.importer").TakeImporter(folder)
    for last in (1, 3, 9):
        synthetic.write_take(folder, dict.fromkeys(range(1, last + 1), ("left",)))
        importer.add_frames([last])
    importer.finish()
    assert scene.frame_end == 9 and not importer.problems
    add_object()
    api.import_take(synthetic.write_take(folder, dict.fromkeys(range(1, 21), ("left",))))
    assert scene.frame_end == 20, "a range that the add-on set is extended in any scene"


def test_set_scene_to_take(addon, api, tmp_path: Path) -> None:
    add_object()
    before = settings(addon)
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", HANDS, fps=29.97))
    scene = bpy.context.scene
    assert {"im2hands.conform_to_scene", "im2hands.set_scene_to_take"} <= set(draw(PANELS[2]).operators)
    assert bpy.ops.im2hands.set_scene_to_take(take="take") == {"FINISHED"}
    assert scene.render.fps / scene.render.fps_base == pytest.approx(29.97, rel=1e-5)
    assert (scene.frame_start, scene.frame_end, scene.render.resolution_x) == (1, 5, 160)
    assert not {"im2hands.conform_to_scene", "im2hands.set_scene_to_take"} & set(draw(PANELS[2]).operators)
    _, problems = api.import_take(tmp_path / "take")
    assert not problems
    api.remove_take(collection)
    assert settings(addon) == {**before, "camera": ""}


@pytest.mark.parametrize(("fps", "here"), [(25, 24), (60, 24), (12.5, 25)])
def test_conform_puts_keys_at_their_times(api, tmp_path: Path, fps: float, here: int) -> None:
    add_object()
    scene = bpy.context.scene
    scene.render.fps = here
    example = animated.make(13, missing=(5, 6))
    folder = animated.write(tmp_path / "take", example, kind="video", fps=fps)
    collection, problems = api.import_take(folder, surfaces="SHOW")
    assert any("Conform" in one for one in problems)
    assert bpy.ops.im2hands.conform_to_scene(take="take") == {"FINISHED"}
    assert scene.render.fps == here

    def at_their_times() -> float:
        worst = 0.0
        for number, frame in enumerate(example.frames.tolist()):
            place = 1 + (frame - 1) / fps * here
            whole = int(np.floor(place + 1e-6))
            scene.frame_set(whole, subframe=float(max(0.0, place - whole)))
            for side, hand in example.hands.items():
                if hand.status[number]:
                    wanted = in_blender(animated.posed(example, side))[number]
                    found = evaluated_vertices(part(collection, "hand", side))
                    worst = max(worst, float(np.linalg.norm(found - wanted, axis=1).max()))
        return worst

    assert at_their_times() < 20 * NEAR
    api.set_smoothing(collection, 0.0)
    api.set_smoothing(collection, 1.0)
    _, problems = api.import_take(folder)
    assert not any("Conform" in one for one in problems)
    assert at_their_times() < 20 * NEAR, "importing again keeps it conformed"
    assert "im2hands.conform_to_scene" not in draw(PANELS[2]).operators
    api.set_scene_to_take(collection)
    assert furthest(collection, example) < 20 * NEAR
    assert scene.render.fps / scene.render.fps_base == pytest.approx(fps)


def test_the_raw_motion_is_conformed_too(addon, api, tmp_path: Path) -> None:
    add_object()
    bpy.context.scene.render.fps = 50
    example = animated.make(9)
    collection, _ = api.import_take(animated.write(tmp_path / "take", example, kind="video", fps=25))
    api.conform_to_scene(collection)
    api.set_smoothing(collection, 0.0)
    wanted = in_blender(animated.posed(example, "left", "_raw"))
    for number in range(9):
        bpy.context.scene.frame_set(1 + 2 * number)
        found = evaluated_vertices(part(collection, "hand", "left"))
        assert np.linalg.norm(found - wanted[number], axis=1).max() < 20 * NEAR


def test_times_of_a_clip_with_a_varying_rate(addon, api, tmp_path: Path) -> None:
    import json

    add_object()
    bpy.context.scene.render.fps = 24
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(range(1, 5), ("left",)), kind="video")
    data = json.loads((folder / "take.json").read_text("utf-8"))
    times = (0.0, 0.25, 0.3, 1.0)
    for record, time in zip(data["frames"], times, strict=True):
        record["time"] = time
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    collection, _ = api.import_take(folder)
    api.conform_to_scene(collection)
    conform = addon("scene.conform")
    for frame, time in enumerate(times, start=1):
        assert conform.to_scene(collection, frame) == pytest.approx(1 + 24 * time, abs=1e-3)
    assert [conform.to_take(collection, frame) for frame in (1, 6, 7, 8, 9, 24, 25)] == [1, 1, 2, 2, 3, 3, 4]


def test_footage_and_markers_follow(addon, api, tmp_path: Path) -> None:
    add_object()
    scene = bpy.context.scene
    scene.render.fps = 50
    clip = tmp_path / "clip.avi"
    synthetic.write_avi(clip, [synthetic.picture(160, 120, n) for n in range(8)])
    frames = {n: ("left", "right") if n != 4 else () for n in range(1, 9)}
    before = counted()
    folder = synthetic.write_take(tmp_path / "take", frames, kind="video", files=[str(clip)])
    collection, _ = api.import_take(folder)
    card = next(one for one in collection.all_objects if one.get("im2hands_role") == "footage")
    spans = [card.image_user.frame_start, card.image_user.frame_duration, card.image_user.frame_offset]
    api.conform_to_scene(collection)
    assert [marker.frame for marker in scene.timeline_markers] == [7]
    camera = next(one for one in collection.all_objects if one.type == "CAMERA")
    api.show_footage(collection)  # what is hidden is not evaluated
    for frame in range(1, 17):
        scene.frame_set(frame)
        for user in (camera.data.background_images[0].image_user, card.image_user):
            number = min(max(frame - user.frame_start + 1, 1), user.frame_duration) + user.frame_offset
            assert number == (frame + 1) // 2, frame
    conform = addon("scene.conform")
    conform.release(collection, scene)
    assert [card.image_user.frame_start, card.image_user.frame_duration, card.image_user.frame_offset] == spans
    assert [marker.frame for marker in scene.timeline_markers] == [4]
    api.conform_to_scene(collection)
    api.remove_take(collection)
    assert {name: count for name, count in counted().items() if count != before[name]} == {}


def test_footage_that_blender_cannot_open_is_told(api, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"no film" * 100)
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)}, kind="video", files=[str(clip)])
    _, problems = api.import_take(folder)
    assert any("clip.mp4" in one and "cannot be" in one for one in problems)
    photo = tmp_path / "photo.heic"
    photo.write_bytes(b"no picture" * 100)
    folder = synthetic.write_take(tmp_path / "other", {1: ("left",)}, images={1: str(photo)})
    _, problems = api.import_take(folder)
    assert any("photo.heic" in one and "cannot be" in one for one in problems)
