"""A job is seen while it runs: found hands as sticks over the footage; an early end is rigged; a take is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
import synthetic
from fake_server import keypoints_at
from test_interface import PANELS, draw

FRAMES = 4


@pytest.fixture
def job(addon, fake_backend, photo: Path, tmp_path: Path):
    """A job whose backend has told all hands and waits; the function polls it until something is so."""
    running = addon("running")
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("finds", FRAMES))
    running.follow(started)

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            running._tick()
            assert time.monotonic() < end
            time.sleep(0.01)

    until(lambda: started.job.progress.phase == "surfaces" and started.collection_name != "")
    yield started, until
    running.stop()


def test_found_hands_are_drawn_over_the_footage(addon, job, tmp_path: Path) -> None:
    started, _ = job
    collection, watching, sticks = started.result.collection, addon("watching"), addon("scene.sticks")
    camera = next(one for one in collection.all_objects if one.type == "CAMERA")
    assert camera.data.background_images and camera.data.show_background_images
    assert not [one for one in collection.all_objects if one.type == "MESH"]
    synthetic.write_take(tmp_path / "other", {})
    addon("api").import_take(tmp_path / "other")
    texts = draw(PANELS[2]).texts
    assert texts.count("its frames are being made") == 1 and "no frames yet" in texts, "of another take they are not"
    found = watching.found_at(started, collection, 2)
    hands = sticks.sticks_of(collection, found)
    assert [hand.color for hand in hands] == [sticks.FOUND_COLORS[side] for side in ("left", "right")]
    own = np.array(camera.matrix_world.inverted()) @ np.c_[hands[0].points, np.ones(21)].T
    expected = np.array(keypoints_at("left", 2)) * (1, -1, -1)  # Blender's camera looks down -z
    assert np.allclose(own[:3].T, expected, atol=1e-5)
    assert watching.found_at(started, collection, FRAMES + 1) is None
    started.cancel(at_once=True)
    assert watching.found_at(None, collection, 2) is None


def test_sticks_are_drawn_in_3d_views(addon, job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler is there, and gives the graphics card a stick for each bone of the found hands."""
    overlay, drawn, handlers = addon("skeleton_overlay"), [], []
    assert overlay._handler.handle is not None, "added with the add-on"
    context = SimpleNamespace(
        space_data=SimpleNamespace(overlay=SimpleNamespace(show_overlays=True)),
        region=SimpleNamespace(width=100, height=100),
        preferences=bpy.context.preferences,
        scene=bpy.context.scene,
    )
    view = SimpleNamespace(draw_handler_add=lambda *arguments: handlers.append(arguments))
    monkeypatch.setattr(overlay, "bpy", SimpleNamespace(context=context, types=SimpleNamespace(SpaceView3D=view)))
    monkeypatch.setattr(overlay, "_handler", SimpleNamespace(handle=None))
    monkeypatch.setattr(overlay, "gpu", MagicMock())
    monkeypatch.setattr(
        overlay, "batch_for_shader", lambda _shader, kind, content: drawn.append((kind, content)) or MagicMock()
    )
    overlay.register()
    ((draw_sticks, arguments, region, when),) = handlers
    assert (region, when) == ("WINDOW", "POST_VIEW")
    draw_sticks(*arguments)
    ((kind, content),) = drawn
    ends = 2 * 2 * len(addon("scene.sticks").BONES)
    assert kind == "LINES" and len(content["pos"]) == len(content["color"]) == ends
    context.space_data.overlay.show_overlays = False
    draw_sticks(*arguments)
    assert len(drawn) == 1


def test_a_found_frame_draws_the_picture_and_no_sidebar(addon, monkeypatch: pytest.MonkeyPatch) -> None:
    tagged = []

    def thing(kind: str, **more: object) -> SimpleNamespace:
        return SimpleNamespace(type=kind, tag_redraw=lambda: tagged.append(kind), **more)

    areas = [thing("VIEW_3D", regions=[thing("WINDOW"), thing("UI")]), thing("OUTLINER", regions=[thing("WINDOW")])]
    manager = SimpleNamespace(windows=[SimpleNamespace(screen=SimpleNamespace(areas=areas))])
    monkeypatch.setattr(addon("watching"), "bpy", SimpleNamespace(context=SimpleNamespace(window_manager=manager)))
    addon("watching")._redraw_views()
    assert tagged == ["WINDOW"]


def test_one_bar_that_never_falls(job) -> None:
    started, _ = job
    assert started.job.progress.fraction == 0.1  # the backend said 0.05 later
    assert started.job.progress.text.endswith("about a minute left")
    assert "im2hands.cancel_reconstruction" in draw(PANELS[0]).operators


def test_an_early_end_is_rigged_and_resumed(addon, fake_backend, job, monkeypatch: pytest.MonkeyPatch) -> None:
    started, until = job
    assert "im2hands.resume" not in draw(PANELS[2]).operators
    bpy.ops.im2hands.cancel_reconstruction()
    until(lambda: started.has_ended)
    collection = started.result.collection
    assert started.result.cancelled and started.imported_count == FRAMES and collection["im2hands_ok"] == FRAMES
    assert collection["im2hands_unfinished"] and "im2hands.resume" in draw(PANELS[2]).operators
    monkeypatch.setattr(addon("reconstruction_api"), "backend_setting", lambda: fake_backend("finds", FRAMES))
    assert bpy.ops.im2hands.resume(take=collection.name) == {"FINISHED"}  # waits for the end: there is no window
    assert not collection["im2hands_unfinished"] and "im2hands.resume" not in draw(PANELS[2]).operators


def test_asked_twice_it_ends_at_once(job) -> None:
    started, until = job
    started.job.state = "cancelling"  # as after the first press
    bpy.ops.im2hands.cancel_reconstruction()
    until(lambda: started.has_ended)
    assert started.result.cancelled and not started.job.frames


def test_the_timer_shows_what_is_found(addon, job, monkeypatch: pytest.MonkeyPatch) -> None:
    _, until = job
    shown: list[int] = []
    monkeypatch.setattr(addon("running")._state.watching, "update", lambda: shown.append(1))
    until(lambda: shown)


def test_the_frame_follows_the_job_until_the_person_moves(addon, job) -> None:
    started, _ = job
    watch, scene = addon("watching").Watching(started), bpy.context.scene
    scene.frame_set(1)
    for newest, moved, expected in ((3, None, 3), (4, None, 4), (2, 1, 1), (3, None, 1)):
        if moved is not None:
            scene.frame_set(moved)
        started.job.newest, watch._at = newest, 0.0
        watch.update()
        assert scene.frame_current == expected


def test_the_frame_goes_back_in_the_end(addon, job) -> None:
    started, _ = job
    watch, scene = addon("watching").Watching(started), bpy.context.scene
    scene.frame_set(2)
    watch.update()
    assert scene.frame_current == FRAMES
    watch.leave()
    assert scene.frame_current == 2
    watch.leave()
    scene.frame_set(3)
    watch.leave()
    assert scene.frame_current == 3


def test_a_draft_is_light(addon, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)})
    text = (folder / "take.json").read_text("utf-8").replace('"key": "k"', '"key": "k", "surfaces": false')
    (folder / "take.json").write_text(text, "utf-8")
    collection, problems = addon("api").import_take(folder)
    assert not problems and addon("scene.surfaces").count_on_disk(collection) == 0
    assert not [one for one in collection.all_objects if one.type == "MESH"]
    assert not {"im2hands.show_surfaces"} & set(draw(PANELS[2]).operators)


def test_a_job_with_rigged_hands_brings_no_surfaces_in(addon, tmp_path: Path) -> None:
    frames = {1: ("left", "right"), 2: ("left", "right")}
    folder = synthetic.write_take(tmp_path / "take", frames, changes={"settings": {"clean": True}})
    for surfaces, expected in (("AUTO", 0), ("SHOW", 4)):
        importer = addon("scene.importer").TakeImporter(folder, surfaces=surfaces)
        collection = importer.add_frames([1, 2])
        assert len([one for one in collection.all_objects if one.type == "MESH"]) == expected
