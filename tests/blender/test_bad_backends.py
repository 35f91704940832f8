"""Backends that die, talk rubbish or say nothing, and what happens to Blender meanwhile: everything ends in words."""

from __future__ import annotations

import ast
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import animated
import bpy
import extension_zip
import pytest
import synthetic
from test_environment import environments
from test_interface import PANELS, draw, draw_preferences, follow_to_the_end
from test_running import tick

from conftest import MODULE

PHASES = ("hello", "open", "weights", "keypoints", "drafts", "surfaces", "clean")


def shown() -> str:
    return " ".join(draw(PANELS[0]).texts)


@pytest.mark.parametrize("phase", PHASES)
def test_a_backend_killed_in_any_phase(addon, running, fake_backend, photo: Path, tmp_path: Path, phase: str) -> None:
    backend = fake_backend(f"dies-{phase}")
    follow_to_the_end(addon, addon("api").start(photo, tmp_path / "take", backend=backend))
    assert "it was killed" in shown() and "out of luck" in shown()
    assert not draw(PANELS[0]).progress, "no dead bar"
    assert bpy.ops.im2hands.reconstruct.poll()
    if phase == "hello":
        return
    assert "Reconstruct continues after them" in shown()
    if phase in ("surfaces", "clean"):
        assert bpy.data.collections["take"].all_objects, "what was done is in the scene"
        again = addon("api").start(photo, tmp_path / "take", backend=backend)
        follow_to_the_end(addon, again)
        assert again.job.summary["reused"] >= 2 and "Done: 3 ok" in draw(PANELS[0]).texts


def test_the_phases_are_those_of_the_backend(addon) -> None:
    events = extension_zip.ROOT / "backend" / "im2hands" / "job" / "events.py"
    (known,) = (
        ast.literal_eval(node.value.slice)
        for node in ast.parse(events.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "Phase"
    )
    assert {*known, "start"} == set(addon("process.job").PHASES), "the bar has words for each"
    assert set(known) == set(PHASES) - {"hello"}


@pytest.mark.parametrize("work", ["job", "rebuild"])
def test_half_a_line(addon, running, begin, work: str) -> None:
    follow_to_the_end(addon, begin(work, "half"))
    assert "ended unexpectedly (exit code 0)" in shown() and not draw(PANELS[0]).progress


@pytest.mark.parametrize("work", ["job", "rebuild"])
def test_rubbish_is_passed_over(addon, running, begin, work: str) -> None:
    started = begin(work, "rubbish")
    follow_to_the_end(addon, started)
    assert started.error is None and started.job.state == "finished", shown()
    assert work == "rebuild" or "Done: 3 ok" in shown(), shown()


def test_a_minute_of_silence(addon, running, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("silent"))
    running.follow(started)
    tick(running, lambda: started.job.state == "running")
    now = started.job.clock
    started.job.clock = lambda: now() + 60
    assert "has been silent for 60 s. Cancel ends it" in shown()
    assert bpy.ops.im2hands.cancel_reconstruction() == {"FINISHED"}
    started.job.clock = lambda: now() + 66  # it does not answer this either
    tick(running, lambda: not running.is_reconstructing())
    assert started.job.state == "cancelled" and not draw(PANELS[0]).progress


# --- what a person does meanwhile


@pytest.fixture
def begin(addon, fake_backend, photo: Path, tmp_path: Path):
    """A function that starts one of the three kinds of work; without a behaviour none of them ends by itself."""

    def make(work: str, behaviour: str = "") -> object:
        if work == "job":
            backend = fake_backend(behaviour) if behaviour else fake_backend("slow", 1000)
            return addon("api").start(photo, tmp_path / "take", backend=backend)
        if work == "rebuild":
            api = addon("api")
            collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left",), 2: ("left",)}))
            api.mark_absent(collection, "left", 2)
            return api.start_rebuild(collection, backend=fake_backend(behaviour or "silent"))
        python = tmp_path / "sleeper"
        python.write_text('#!/bin/sh\nfor word; do last=$word; done\nmkdir -p "$last/bin"\nexec sleep 60\n')
        python.chmod(0o755)
        started = addon("process.task").installation(tmp_path / "own", python, tmp_path / "x.whl", None, "GPU")
        while not environments(tmp_path / "own"):
            time.sleep(0.01)
        return started

    return make


def process_of(started: object) -> object:
    return (started.job if hasattr(started, "job") else started)._process


def has_ended(started: object) -> bool:
    process_of(started).wait(10)
    return process_of(started)._child.poll() is not None


@pytest.mark.parametrize("work", ["job", "rebuild", "installation"])
@pytest.mark.parametrize("event", ["load", "undo", "quit", "disable"])
def test_in_the_middle_of_work(addon, running, begin, tmp_path: Path, work: str, event: str) -> None:
    bpy.ops.ed.undo_push(message="before")
    started = begin(work)
    running.follow(started)
    if work != "installation":
        tick(running, lambda: started.job.state == "running")
    bpy.ops.ed.undo_push(message="during")
    if event == "load":
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    elif event == "undo":
        bpy.ops.ed.undo()
    elif event == "quit":
        running.stop()  # see test_the_end_of_blender_ends_the_work
    else:
        bpy.ops.preferences.addon_disable(module=MODULE)
        bpy.ops.preferences.addon_enable(module=MODULE)
    goes_on = event == "undo" or (event == "load" and work == "installation")
    if goes_on:
        for _ in range(5):
            running._tick()
        assert not started.has_ended, "it goes on, and its bar shows that"
        assert draw(PANELS[0]).progress or draw_preferences(addon).progress
        running.stop()
    elif event == "load":
        assert "another file was opened" in shown()
    assert started.has_ended and has_ended(started)
    assert not draw(PANELS[0]).progress and not draw_preferences(addon).progress
    assert environments(tmp_path / "own") == set(), "a half environment is removed"


def test_the_end_of_blender_ends_the_work(addon, running, monkeypatch) -> None:
    at_the_end = []
    monkeypatch.setattr(
        running, "atexit", SimpleNamespace(register=at_the_end.append, unregister=lambda one: at_the_end.remove(one))
    )
    running.register()
    assert at_the_end == [running.stop]
    running.unregister()
    assert not at_the_end
    for handlers in (bpy.app.handlers.load_pre, bpy.app.handlers.load_post, bpy.app.handlers.undo_post):
        assert len([one for one in handlers if one.__module__ == running.__name__]) == 1, "those of the add-on"


def test_a_take_on_a_drive_that_is_gone(addon, running, fake_backend, tmp_path: Path) -> None:
    """Every button of the take tells what is missing; what is in the file stays."""
    collection, _ = addon("api").import_take(animated.write(tmp_path / "drive" / "take", animated.make(3)))
    bpy.context.preferences.addons[MODULE].preferences.backend = fake_backend("rebuilds")
    addon("api").mark_absent(collection, "left", 2)
    objects = len(collection.all_objects)
    shutil.rmtree(tmp_path / "drive")
    more = {"filepath": str(tmp_path / "out.abc"), "what": "SURFACES"}
    for name, arguments in (
        ("show_surfaces", {"shown": True}), ("edit_keypoints", {}), ("export_take", more), ("rebuild_frames", {}),
        ("show_footage", {"shown": True}),
    ):  # fmt: skip
        operator = getattr(bpy.ops.im2hands, name)
        with pytest.raises(RuntimeError, match=r"There is no take|in their place") as caught:
            operator(take=collection.name, **arguments)
        assert "Traceback" not in str(caught.value), name
    assert bpy.ops.im2hands.conform_to_scene(take=collection.name) == {"FINISHED"}, "all it needs is in the file"
    for panel in PANELS:
        draw(panel)
    assert len(collection.all_objects) == objects
    if sys.platform != "win32":
        assert collection["im2hands_take"].startswith(str(tmp_path))


def test_the_drive_goes_in_the_middle_of_a_job(addon, running, fake_backend, photo: Path, tmp_path: Path) -> None:
    take = tmp_path / "drive" / "take"
    started = addon("api").start(photo, take, backend=fake_backend("slow", 1000))
    running.follow(started)
    tick(running, lambda: started.imported_count >= 1)
    shutil.rmtree(tmp_path / "drive", ignore_errors=True)
    (tmp_path / "drive").mkdir(exist_ok=True)
    shutil.rmtree(tmp_path / "drive")
    (tmp_path / "drive").write_text("no folder any more")
    tick(running, lambda: not running.is_reconstructing())
    assert "ended unexpectedly" in shown() or "There is no take" in shown()
    assert not draw(PANELS[0]).progress and bpy.data.collections["take"].all_objects
