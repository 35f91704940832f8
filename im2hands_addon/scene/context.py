"""Makes the context safe: Blender's timers run without a window, and some functions crash then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

from .blender_versions import release_context


@contextmanager
def ensure_window() -> Iterator[None]:
    """Put a window into the context for a while, if Blender has one; a scene that is gone does not own it any more."""
    release_context()
    first = next(iter(bpy.context.window_manager.windows), None)
    if bpy.context.window is not None or first is None:
        yield
        return
    with bpy.context.temp_override(window=first):
        yield
