"""Provides a window in the context. Blender's timers run without one, and some functions crash then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def ensure_window() -> Iterator[None]:
    """Put a window into the context for a while; nothing changes if Blender has no window."""
    first = next(iter(bpy.context.window_manager.windows), None)
    if bpy.context.window is not None or first is None:
        yield
        return
    with bpy.context.temp_override(window=first):
        yield
