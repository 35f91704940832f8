"""Background work in Blender: at most one reconstruction and one task, polled by a timer.

The panels read from this module what they show. Quitting Blender, loading a file and disabling the add-on end all
background work.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass, field

import bpy

from .errors import AddonError, BackendError
from .locations import backend_setting, bundled_wheel, own_environment
from .process.backend_state import BackendState, look_up
from .process.task import Finding, Task, check_findings
from .reconstruction import Reconstruction

_INTERVAL_SECONDS = 0.1


@dataclass
class _Background:
    """The module's state, in one place."""

    reconstruction: Reconstruction | None = None
    task: Task | None = None
    findings: list[Finding] = field(default_factory=list)
    backend: BackendState = field(default_factory=BackendState)


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
    _state.backend = look_up(backend_setting(), own_environment(), bundled_wheel())
    _redraw()


def is_reconstructing() -> bool:
    """Whether a reconstruction is running."""
    return _state.reconstruction is not None and not _state.reconstruction.has_ended


def is_working() -> bool:
    """Whether a check or an installation is running."""
    return _state.task is not None and not _state.task.has_ended


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
        _state.reconstruction = started
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_INTERVAL_SECONDS)


def stop() -> None:
    """End all background work at once; finished frames stay on disk."""
    if _state.reconstruction is not None:
        _state.reconstruction.close()
    if _state.task is not None:
        _state.task.cancel()
    _state.reconstruction = None
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def _tick() -> float | None:
    """Poll all running work; returns the seconds until the next call, None when nothing runs."""
    try:
        _poll_reconstruction()
        _poll_task()
    finally:
        _redraw()
    return _INTERVAL_SECONDS if is_reconstructing() or is_working() else None


def _poll_reconstruction() -> None:
    running = _state.reconstruction
    if running is None or running.has_ended or bpy.app.is_job_running("RENDER"):
        return
    try:
        running.poll()
    except (RuntimeError, ReferenceError, OSError, ValueError) as error:
        running.close()
        running.error = AddonError(f"The frames could not be brought in: {error}.", "Use Import Take to try again.")
    if not running.has_ended:
        return
    look_for_backend()
    if running.result.collection is not None:
        _push_undo("Reconstruct Hands")


def _poll_task() -> None:
    working = _state.task
    if working is None or working.has_ended:
        return
    working.poll()
    if not working.has_ended:
        return
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


def _push_undo(message: str) -> None:
    """Add one undo step for the whole job. It needs a window in the context, which a timer lacks."""
    window = next(iter(bpy.context.window_manager.windows), None)
    if window is None or bpy.app.background:
        return
    with bpy.context.temp_override(window=window):
        if bpy.ops.ed.undo_push.poll():
            bpy.ops.ed.undo_push(message=message)


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("VIEW_3D", "PREFERENCES"):
                area.tag_redraw()


@bpy.app.handlers.persistent
def _stop_before_load(*_: object) -> None:
    stop()


@bpy.app.handlers.persistent
def _look_after_load(*_: object) -> None:
    look_for_backend()


def register() -> None:
    """Add the handlers for file loads and for the end of Blender."""
    bpy.app.handlers.load_pre.append(_stop_before_load)
    bpy.app.handlers.load_post.append(_look_after_load)
    # Delayed: while add-ons are registered, Blender hides the .blend that relative paths start from.
    bpy.app.timers.register(look_for_backend, first_interval=0.0, persistent=True)
    atexit.register(stop)


def unregister() -> None:
    """End all background work and remove the handlers."""
    stop()
    atexit.unregister(stop)
    if bpy.app.timers.is_registered(look_for_backend):
        bpy.app.timers.unregister(look_for_backend)
    for handlers, ours in (
        (bpy.app.handlers.load_pre, _stop_before_load),
        (bpy.app.handlers.load_post, _look_after_load),
    ):
        if ours in handlers:
            handlers.remove(ours)
