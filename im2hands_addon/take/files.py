"""Reads files that the backend may be writing at the same time (no bpy)."""

from __future__ import annotations

import errno
import hashlib
import stat
import time
from pathlib import Path
from typing import Any

from .unpacking import JSON_BYTES, parse_json

JOURNAL_FILE = "frames.jsonl"
"""Journal of a growing take: one record a line of the frames that ``take.json`` does not list yet."""

# On Windows a file that is being replaced cannot be opened, or does not exist, for a moment. The limit is short
# because Blender's window does not respond during the wait.
_PATIENCE_SECONDS = 0.25
_FIRST_PAUSE_SECONDS = 0.005


def read_take_json(path: Path) -> Any:
    """Read ``take.json``, and append the records of its journal to ``frames``.

    Parameters
    ----------
    path : Path
        The ``take.json``.

    Returns
    -------
    Any
        The content of the JSON file, unchecked. Of two records of the same frame the later one is valid.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file or a complete line of the journal is not JSON.
    """
    journal = path.with_name(JOURNAL_FILE)
    # The journal is read first. The backend moves records from it into take.json, so none is missed in this order.
    try:
        finished_last = read_shared(journal, expected=False, most_bytes=JSON_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        finished_last = b""
    content = read_shared(path, most_bytes=JSON_BYTES)
    data = parse_json(content)
    records = _journal_records(finished_last, content)
    if records and isinstance(data, dict):
        frames = data.get("frames", [])
        if not isinstance(frames, list):
            raise ValueError("frames is no list")
        data["frames"] = [*frames, *records]
    return data


def _journal_records(journal: bytes, take: bytes) -> list[Any]:
    """The records of a journal that belongs to this ``take.json``, else none; an incomplete last line is skipped."""
    first, *lines = journal[: journal.rfind(b"\n") + 1].splitlines() or [b""]
    try:
        begins = parse_json(first)
    except ValueError:
        return []
    if not isinstance(begins, dict) or begins.get("take_sha256") != hashlib.sha256(take).hexdigest():
        return []
    records = []
    for number, line in enumerate(lines, start=2):
        try:
            records.append(parse_json(line))
        except ValueError as error:
            raise ValueError(f"line {number} of {JOURNAL_FILE}: {error}") from error
    return records


def read_shared(path: Path, *, expected: bool = True, most_bytes: int | None = None) -> bytes:
    """Read a whole file quickly, because on Windows the backend cannot replace it while it is open.

    Parameters
    ----------
    path : Path
        The file.
    expected : bool
        Whether the file is known to exist. If so, a missing file is being replaced, and reading is tried again.
    most_bytes : int, optional
        Limit of the file's size; None for no limit.

    Returns
    -------
    bytes
        The content.

    Raises
    ------
    OSError
        The file cannot be read, or does not exist, for a quarter of a second. Or it is larger than ``most_bytes``, or
        not a regular file: reading a pipe or a device may never end.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            if most_bytes is not None and about.st_size > most_bytes:
                raise OSError(errno.EFBIG, f"its {about.st_size} bytes are more than the limit of {most_bytes}")
            return path.read_bytes()
        except (PermissionError, FileNotFoundError) as error:
            is_absent = isinstance(error, FileNotFoundError) and not (expected and path.parent.is_dir())
            if is_absent or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
