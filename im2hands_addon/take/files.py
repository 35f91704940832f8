"""Reads files that the backend may be writing at that moment (standard library only, no bpy)."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

JOURNAL_FILE = "frames.jsonl"

# On Windows a file that is being replaced cannot be opened, or is absent, for a moment. Blender waits meanwhile.
_PATIENCE_SECONDS = 0.25
_FIRST_PAUSE_SECONDS = 0.005


def read_take_json(path: Path) -> Any:
    """The content of ``take.json``, with the records of the journal beside it behind its own in ``frames``.

    Parameters
    ----------
    path
        The ``take.json``.

    Returns
    -------
    Any
        What the JSON holds, unchecked. Of two records of a frame the later one counts.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not JSON, or a whole line of the journal is not.
    """
    journal = path.with_name(JOURNAL_FILE)
    try:  # before take.json, where records go from there: none is missed
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
    """The records of a journal, if it goes on from this ``take.json``; a last line without end is still written."""
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
    """Read a file at once: the backend cannot replace it on Windows while it is open.

    Parameters
    ----------
    path
        The file.
    expected
        Whether the file is known to be there: an absent one is looked for again, it is being replaced.

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
        except (PermissionError, FileNotFoundError) as error:
            is_absent = isinstance(error, FileNotFoundError) and not (expected and path.parent.is_dir())
            if is_absent or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause *= 2
