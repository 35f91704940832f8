"""A window for what wants one: Blender's timers run without, and some of its functions crash there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def ensure_window() -> Iterator[None]:
    """Have a window in the context, where Blender has any."""
    first = next(iter(bpy.context.window_manager.windows), None)
    if bpy.context.window is not None or first is None:
        yield
        return
    with bpy.context.temp_override(window=first):
        yield
