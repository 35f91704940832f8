"""Shows a line in the status bar for a while."""

from __future__ import annotations

import bpy

_SHOWN_SECONDS = 15.0


def say(text: str) -> None:
    """Show a line in the status bar of every window, in place of the hints for the mouse, for 15 seconds."""
    _write(text)
    if bpy.app.timers.is_registered(_clear):
        bpy.app.timers.unregister(_clear)
    bpy.app.timers.register(_clear, first_interval=_SHOWN_SECONDS, persistent=True)


def stop() -> None:
    """Clear the line at once."""
    if bpy.app.timers.is_registered(_clear):
        bpy.app.timers.unregister(_clear)
        _clear()


def _write(text: str | None) -> None:
    for window in bpy.context.window_manager.windows:
        with bpy.context.temp_override(window=window):  # a timer has no window in its context
            window.workspace.status_text_set(text)


def _clear() -> None:
    _write(None)
