"""Reads files that the backend may be replacing at that moment (standard library only, no bpy)."""

from __future__ import annotations

import time
from pathlib import Path

# On Windows a file that is being replaced cannot be opened, or is absent, for a moment. Blender waits meanwhile.
_PATIENCE_SECONDS = 0.25
_FIRST_PAUSE_SECONDS = 0.005


def read_shared(path: Path) -> bytes:
    """Read a file at once: the backend cannot replace it on Windows while it is open.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bytes
        All of its content.

    Raises
    ------
    OSError
        The file cannot be read, or is absent, for longer than a quarter of a second.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return path.read_bytes()
        except (PermissionError, FileNotFoundError):
            if time.monotonic() + pause > deadline or not path.parent.is_dir():
                raise
        time.sleep(pause)
        pause *= 2
