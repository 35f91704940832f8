"""Reads files that the backend may be writing at the same time (standard library only, no bpy)."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

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
        finished_last = read_shared(journal, expected=False)
    except (FileNotFoundError, NotADirectoryError):
        finished_last = b""
    content = read_shared(path)
    data = json.loads(content.decode("utf-8"))
    records = _journal_records(finished_last, content)
    if records and isinstance(data, dict):
        data["frames"] = [*data.get("frames", []), *records]
    return data


def _journal_records(journal: bytes, take: bytes) -> list[Any]:
    """The records of a journal that belongs to this ``take.json``, else none; an incomplete last line is skipped."""
    first, *lines = journal[: journal.rfind(b"\n") + 1].splitlines() or [b""]
    try:
        begins = json.loads(first.decode("utf-8"))
    except ValueError:
        return []
    if not isinstance(begins, dict) or begins.get("take_sha256") != hashlib.sha256(take).hexdigest():
        return []
    records = []
    for number, line in enumerate(lines, start=2):
        try:
            records.append(json.loads(line.decode("utf-8")))
        except ValueError as error:
            raise ValueError(f"line {number} of {JOURNAL_FILE}: {error}") from error
    return records


def read_shared(path: Path, *, expected: bool = True) -> bytes:
    """Read a whole file quickly, because on Windows the backend cannot replace it while it is open.

    Parameters
    ----------
    path : Path
        The file.
    expected : bool
        Whether the file is known to exist. If so, a missing file is being replaced, and reading is tried again.

    Returns
    -------
    bytes
        The content.

    Raises
    ------
    OSError
        The file cannot be read, or does not exist, for a quarter of a second.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return path.read_bytes()
        except (PermissionError, FileNotFoundError) as error:
            is_absent = isinstance(error, FileNotFoundError) and not (expected and path.parent.is_dir())
            if is_absent or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
