"""Background work in Blender: at most one reconstruction and one task, polled by a timer; others wait in a queue.

The panels read from this module what they show. Loading a file ends the reconstruction and the queue, because their
scenes are gone; a check or an installation goes on. Quitting Blender and disabling the add-on end all background work.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import bpy

from . import recent, waiting
from .errors import AddonError, BackendError, InputError
from .locations import backend_setting, bundled_wheel, old_environment, old_takes_folder, own_environment, takes_in
from .process.backend_state import BackendState, look_up
from .process.task import Finding, Task, check_findings
from .reconstruction import Reconstruction
from .scene import markers, status_bar, views
from .scene.blender_versions import release_context
from .waiting import Waiting
from .watching import Watching

_INTERVAL_SECONDS = 0.1
_REDRAW_SECONDS = 0.5  # a bar that moves twice a second is enough; each drawing takes time from the views
_log = logging.getLogger(__name__)


@dataclass
class _Background:
    """The module's state, in one place."""

    reconstruction: Reconstruction | None = None
    watching: Watching | None = None
    noted: Reconstruction | None = None  # the job that has an undo step
    task: Task | None = None
    told_task: Task | None = None
    findings: list[Finding] = field(default_factory=list)
    backend: BackendState = field(default_factory=BackendState)
    shown: object = None
    drawn: float = 0.0  # when


_state = _Background()


def reconstruction() -> Reconstruction | None:
    """The running reconstruction, or the last one; None before the first."""
    return _state.reconstruction


def task() -> Task | None:
    """The running check or installation, or the last one; None before the first."""
    return _state.task


def findings() -> list[Finding]:
    """The findings of the last check or installation."""
    return _state.findings


def backend() -> BackendState:
    """The result of the last look-up of the backend; does not read the disk."""
    return _state.backend


def look_for_backend() -> None:
    """Look for the backend on disk and redraw the panels. Call it after anything that may have changed the result."""
    _state.backend = look_up(
        backend_setting(),
        own_environment(),
        bundled_wheel(),
        old=old_environment(),
        old_takes=takes_in(old_takes_folder()),
    )
    recent.read()
    if waiting.queue() and _state.backend.is_found:
        _ensure_timer()
    redraw()


def is_reconstructing() -> bool:
    """Whether a reconstruction is running."""
    return _state.reconstruction is not None and not _state.reconstruction.has_ended


def is_working() -> bool:
    """Whether a check or an installation is running."""
    return _state.task is not None and not _state.task.has_ended


def enqueue(one: Waiting) -> None:
    """Start a reconstruction now, or after the work that runs.

    Parameters
    ----------
    one : Waiting
        The reconstruction.

    Raises
    ------
    AddonError
        It cannot be started, or one with the same folder runs or waits.
    """
    waiting.forget_notes()
    if is_reconstructing() or is_installing():
        taken = [other.take for other in waiting.queue()]
        if one.take in taken or (is_reconstructing() and one.take == _state.reconstruction.take):
            raise InputError(f"The take {one.take} is already being made.", "Choose another folder under Take.")
        waiting.hold(one)
        _ensure_timer()
    else:
        follow(one.start())


def is_installing() -> bool:
    """Whether an installation is running."""
    return is_working() and _state.task.name != "Check"


def follow(started: Reconstruction | Task) -> None:
    """Poll a reconstruction or a task by a timer until it has ended, and keep the panels up to date.

    Parameters
    ----------
    started : Reconstruction or Task
        What was started. It replaces the last one of its kind.
    """
    if isinstance(started, Task):
        _state.task, _state.findings = started, []
    else:
        _state.reconstruction, _state.watching = started, Watching(started)
    _ensure_timer()


def cancel() -> None:
    """Ask the backend to end early; the timer does the rest.

    It ends at once if that was asked for before, or if the backend is silent.
    """
    if _state.reconstruction is not None:
        job = _state.reconstruction.job
        _state.reconstruction.cancel(at_once=job.state == "cancelling" or job.is_silent)
        _ensure_timer()


def _ensure_timer() -> None:
    """Start the timer if it does not run. It goes on when another file is loaded."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_INTERVAL_SECONDS, persistent=True)


def stop() -> None:
    """End all background work at once; finished frames stay on disk."""
    if _state.reconstruction is not None:
        _state.reconstruction.close()
    if _state.task is not None:
        _state.task.cancel()
    _state.reconstruction = _state.watching = _state.task = None
    _state.findings = []
    waiting.clear()
    status_bar.stop()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def _tick() -> float | None:
    """Poll all running work; returns the seconds until the next call, None when nothing runs.

    Blender drops a timer whose function raises, and the work would then never end. So any error ends its work in words.
    """
    _guarded(_poll_reconstruction, _end_reconstruction)
    _guarded(_poll_task, _end_task)
    _guarded(_start_next, lambda error: waiting.note(_words(error)))
    _guarded(_redraw_changes, lambda _error: None)
    waits = bool(waiting.queue()) and _state.backend.is_found
    return _INTERVAL_SECONDS if is_reconstructing() or is_working() or waits else None


def _guarded(work: Callable[[], None], at_error: Callable[[Exception], None]) -> None:
    """Do some work of the timer; an error of any kind is logged and given to ``at_error``."""
    try:
        work()
    except Exception as error:
        _log.exception("Im2Hands: %s", error)
        at_error(error)


def _poll_reconstruction() -> None:
    running = _state.reconstruction
    if running is None or running.has_ended or bpy.app.is_job_running("RENDER"):
        return
    brought = running.imported_count
    running.poll()
    if running.imported_count != brought and not running.has_ended and not bpy.data.is_dirty:
        # Only an undo step tells Blender that the file has changed. One is enough until the next time it is saved.
        _push_undo(running)
    if _state.watching is not None and not running.has_ended:
        _guarded(_state.watching.update, lambda _error: None)
    if running.has_ended:
        _guarded(_after_reconstruction, lambda _error: None)


def _start_next() -> None:
    """Start what waits, when nothing else runs. What cannot be started leaves the queue with a note."""
    if not waiting.queue() or is_reconstructing() or is_working() or not _state.backend.is_found:
        return
    one = waiting.take_next()
    try:
        follow(one.start())
    except AddonError as error:
        waiting.note(f"{one.name} was not started: {error}")


def _after_reconstruction() -> None:
    look_for_backend()
    started = _state.reconstruction
    collection = started.result.collection
    if _state.watching is not None:
        _guarded(_state.watching.leave, lambda _error: None)
    if collection is not None:
        if started.shows_result:
            started.job.warnings += views.present(collection, started.scene)
        _push_undo(started)
    status_bar.say(f"Im2Hands: {_result_text(started)}")


def _result_text(started: Reconstruction) -> str:
    """What a job has brought, in one line for the status bar."""
    if started.error is not None:
        return f"stopped. {started.error}"
    collection = started.result.collection
    if collection is None:
        return "nothing was reconstructed"
    ended = "ended early" if started.job.state == "cancelled" else "done"
    doubtful = len(markers.read_runs(collection))
    check = f"{doubtful} to check, Shift Ctrl Right goes there" if doubtful else "none to check"
    count = len(started.job.frames) or int(started.job.summary.get("total") or 0)
    return f"{ended}. {count} frames in {collection.name}, {check}"


def _end_reconstruction(error: Exception) -> None:
    running = _state.reconstruction
    status_bar.say("Im2Hands: the frames could not be brought in, see the sidebar")
    running.fail(
        AddonError(
            f"The frames could not be brought in: {_words(error)}.",
            f"Finished frames are kept in {running.take}: use Import Take, or {running.button} to continue.",
        )
    )


def _poll_task() -> None:
    working = _state.task
    if working is None or working is _state.told_task:
        return
    working.poll()
    if not working.has_ended:
        return
    _state.told_task = working  # also if a person has stopped it
    look_for_backend()
    try:
        if working.name == "Check":
            _state.findings = check_findings(working)
        elif working.error is not None:
            raise working.error
        else:
            _state.findings = [Finding(True, "The backend is installed.")]
    except BackendError as error:
        _state.findings = [Finding(False, str(error))]


def _end_task(error: Exception) -> None:
    working = _state.told_task = _state.task
    if not working.has_ended:
        working.cancel()
    _state.findings = [Finding(False, f"{working.name} ended by an error of the add-on: {_words(error)}. Try again.")]


def _words(error: Exception) -> str:
    """An error for the person; its kind where it has no message."""
    return str(error).rstrip(".") or type(error).__name__


def _push_undo(started: Reconstruction) -> None:
    """Add an undo step for what a job has brought, which also marks the file as changed.

    The next step of the same job takes its place, so that one undo takes the job away; unless the person has done
    something in between. It needs a window in the context; a timer lacks one.
    """
    window = next(iter(bpy.context.window_manager.windows), None)
    if window is None:
        return
    with bpy.context.temp_override(window=window):
        if not bpy.ops.ed.undo_push.poll():
            return
        if _state.noted is started:
            grouped = getattr(bpy.ops.im2hands, started.undo_operator)
            grouped("EXEC_DEFAULT", True)  # True: it is to make an undo step
        else:
            bpy.ops.ed.undo_push(message=started.undo_name)
    _state.noted = started


def redraw() -> None:
    """Draw the sidebars and the preferences; the picture of a 3D view is left alone, as drawing it can be slow."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            elif area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()


def _redraw_changes() -> None:
    """Draw if something is to be seen that was not there at the last drawing; while work runs, not too often."""
    shown, now = _shown(), time.monotonic()
    is_time = now >= _state.drawn + _REDRAW_SECONDS or not (is_reconstructing() or is_working())
    if shown != _state.shown and is_time:
        _state.shown, _state.drawn = shown, now
        redraw()


def _shown() -> tuple[object, ...]:
    """What the panels show of the work that runs."""
    started, working = _state.reconstruction, _state.task
    parts: list[object] = [len(waiting.queue()), len(waiting.notes())]
    if started is not None:
        job = started.job
        silent = int(job.silent_seconds) if job.is_silent else 0
        parts += [
            job.state,
            job.progress.text,
            job.progress.fraction,
            len(job.frames),
            job.newest,
            silent,
            started.has_ended,
        ]
        parts += [len(job.warnings), started.imported_count]
    if working is not None:
        parts += [working.title, working.has_ended, working.lines[-1] if working.lines else ""]
    return tuple(parts)


@bpy.app.handlers.persistent
def _stop_before_load(*_: object) -> None:
    """End the reconstruction in words: the scene that it fills is about to go."""
    if is_reconstructing():
        running = _state.reconstruction
        hint = f"Finished frames are kept in {running.take}: {running.button} continues after them."
        running.fail(AddonError("The reconstruction was ended because another file was opened.", hint))
    waiting.clear("Another file was opened: {} will not be started.")


@bpy.app.handlers.persistent
def _look_after_load(*_: object) -> None:
    release_context()  # the scene that may own it is gone
    look_for_backend()


@bpy.app.handlers.persistent
def _look_after_undo(*_: object) -> None:
    # Later: while Blender undoes, the views still show the data before.
    if not bpy.app.timers.is_registered(views.end_empty_local_views):
        bpy.app.timers.register(views.end_empty_local_views, first_interval=0.0)


def register() -> None:
    """Add the handlers for file loads and for the end of Blender."""
    bpy.app.handlers.load_pre.append(_stop_before_load)
    bpy.app.handlers.load_post.append(_look_after_load)
    bpy.app.handlers.undo_post.append(_look_after_undo)
    # Delayed: while add-ons are registered, Blender hides the .blend that relative paths start from.
    bpy.app.timers.register(look_for_backend, first_interval=0.0, persistent=True)
    atexit.register(stop)


def unregister() -> None:
    """End all background work and remove the handlers."""
    stop()
    atexit.unregister(stop)
    for awaited in (look_for_backend, views.end_empty_local_views):
        if bpy.app.timers.is_registered(awaited):
            bpy.app.timers.unregister(awaited)
    for handlers, ours in (
        (bpy.app.handlers.load_pre, _stop_before_load),
        (bpy.app.handlers.load_post, _look_after_load),
        (bpy.app.handlers.undo_post, _look_after_undo),
    ):
        if ours in handlers:
            handlers.remove(ours)
