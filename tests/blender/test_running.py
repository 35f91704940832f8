"""The timer of the sidebar: errors end in words, other work goes on, and unsaved results are announced."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpy
import pytest
from test_interface import PANELS, draw, draw_preferences, follow_to_the_end


def tick(running, until) -> None:
    end = time.monotonic() + 60
    while not until():
        assert time.monotonic() < end
        running._tick()
        time.sleep(0.02)


class Unforeseen(Exception):
    """An error that no module of the add-on knows."""


@pytest.mark.parametrize("place", ["job", "importer", "finish", "redraw"])
@pytest.mark.parametrize("error", [Unforeseen("out of luck"), KeyError("left"), AttributeError(), MemoryError()])
def test_any_error_in_the_timer_ends_the_job_in_words(
    addon, running, fake_backend, photo: Path, tmp_path: Path, monkeypatch, place: str, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("good"))
    owner, name = {
        "job": (started.job, "poll"),
        "importer": (started._importer, "add_frames"),
        "finish": (started._importer, "finish"),
        "redraw": (running, "_redraw_changes"),
    }[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, broken)
        follow_to_the_end(addon, started)
    assert not running.is_reconstructing()
    text = " ".join(draw(PANELS[0]).texts)
    if place == "redraw":
        assert "Done: 3 ok" in text
    else:
        assert "could not be brought in" in text and (str(error) or type(error).__name__) in text
        assert "Finished frames are kept in" in text
    assert bpy.ops.im2hands.reconstruct.poll() and "im2hands.reconstruct" in draw(PANELS[0]).operators
    again = addon("api").start(photo, tmp_path / "take", backend=fake_backend("good"))
    follow_to_the_end(addon, again)
    assert "Done: 3 ok" in draw(PANELS[0]).texts


def test_an_error_in_a_task_ends_it_in_words(addon, running, fake_backend, monkeypatch) -> None:
    def broken() -> None:
        raise Unforeseen("out of luck")

    started = addon("process.task").check(addon("process.environment").find(fake_backend("good")))
    monkeypatch.setattr(started, "poll", broken)
    follow_to_the_end(addon, started)
    assert started.has_ended and not running.is_working()
    assert "out of luck" in " ".join(draw_preferences(addon).texts)
    assert bpy.ops.im2hands.check_backend.poll()


def test_cancel_works_without_the_timer(addon, running, fake_backend, photo: Path, tmp_path: Path) -> None:
    """Whatever took the timer away, Cancel starts it again."""
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("slow", 1000))
    running.follow(started)
    tick(running, lambda: started.job.state == "running")
    bpy.app.timers.unregister(running._tick)
    assert bpy.ops.im2hands.cancel_reconstruction() == {"FINISHED"}
    assert bpy.app.timers.is_registered(running._tick)
    tick(running, lambda: not running.is_reconstructing())
    assert started.result.cancelled


def test_another_file_ends_a_reconstruction_in_words(addon, running, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("slow", 1000))
    running.follow(started)
    tick(running, lambda: len(started.job.frames) >= 2)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert started.has_ended and not bpy.data.collections.get("take")
    text = " ".join(draw(PANELS[0]).texts)
    assert "another file was opened" in text and "kept in" in text and "Ended early" in text
    tick(running, lambda: running._tick() is None)
    assert not bpy.data.collections.get("take"), "nothing of it reaches the new file"


def test_another_file_does_not_stop_an_installation(addon, running, tmp_path: Path) -> None:
    task = addon("process.task")
    code = "import time; time.sleep(0.5); print('made')"
    started = task.Task("Installation", [task.Step("Creating", [sys.executable, "-c", code])])
    running.follow(started)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert running.is_working(), "it goes on"
    assert bpy.app.timers.is_registered(running._tick), "and something still reads its output"
    tick(running, lambda: not running.is_working())
    assert started.error is None
    assert "The backend is installed." in " ".join(draw_preferences(addon).texts)


def test_the_file_counts_as_changed_while_frames_arrive(
    addon, running, fake_backend, photo: Path, tmp_path: Path, monkeypatch
) -> None:
    """Blender asks "Save changes?" only if an undo step came after the last save."""
    pushed = []
    monkeypatch.setattr(running, "_push_undo", pushed.append)
    changed = {"is_dirty": False}

    class Data:
        """``bpy.data`` of a file that was just saved; Blender's own flag cannot be reset here."""

        @property
        def is_dirty(self) -> bool:
            return changed["is_dirty"]

        def __getattr__(self, name: str) -> object:
            return getattr(bpy.data, name)

    started = addon("api").start(photo, tmp_path / "take", backend=fake_backend("slow", 1000))
    running.follow(started)

    class Bpy:
        data = Data()

        def __getattr__(self, name: str) -> object:
            return getattr(bpy, name)

    monkeypatch.setattr(running, "bpy", Bpy())
    tick(running, lambda: started.imported_count >= 1)
    assert len(pushed) == 1, "with the first frames"
    changed["is_dirty"] = True
    seen = started.imported_count
    tick(running, lambda: started.imported_count > seen)
    assert len(pushed) == 1, "one step is enough"
    changed["is_dirty"] = False  # saved in between
    seen = started.imported_count
    tick(running, lambda: started.imported_count > seen)
    assert len(pushed) == 2
    running.cancel()


def test_a_job_is_one_undo_step(addon, running, fake_backend, photo: Path, tmp_path: Path) -> None:
    """Its steps replace one another, which also makes Blender ask before it closes. Another job has its own."""
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    for number, take in enumerate(("one", "two")):
        started = addon("api").start(photo, tmp_path / take, backend=fake_backend("good", 2))
        running.follow(started)
        tick(running, lambda started=started: started.imported_count >= 1)
        running._push_undo(started)  # with the first frames, and again after each save
        assert bpy.data.is_dirty
        tick(running, lambda: not running.is_reconstructing())
        assert len(bpy.data.collections[take].all_objects) and running._state.noted is started, number
    bpy.ops.ed.undo()
    assert "one" in bpy.data.collections and "two" not in bpy.data.collections
    bpy.ops.ed.undo()
    assert "one" not in bpy.data.collections
    bpy.ops.ed.redo()
    assert len(bpy.data.collections["one"].all_objects)
    bpy.ops.ed.redo()
    assert len(bpy.data.collections["two"].all_objects)
    running._push_undo(started)
    bpy.data.collections.new("mine")
    bpy.ops.ed.undo_push(message="mine")
    running._push_undo(started)
    bpy.ops.ed.undo()
    assert "mine" in bpy.data.collections, "a step of the person in between stays"
