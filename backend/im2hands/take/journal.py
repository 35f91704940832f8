"""The journal of a take, ``frames.jsonl``: records of finished frames that are not in ``take.json`` yet.

The first line of a journal contains the sha256 of the ``take.json`` that it continues. Next to any other ``take.json``
the journal has no effect. Such a journal remains if the process is killed after it wrote ``take.json`` and before it
deleted the journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.core.files import append_synced, delete_shared, json_bytes, read_shared
from im2hands.core.unpacking import JSON_BYTES, parse_json

JOURNAL_FILE = "frames.jsonl"
_GOES_ON_FROM = "take_sha256"


class TakeJournal:
    """Reader and writer of the journal of one take.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.size = 0
        """Size of the complete lines, bytes; 0 if there is no journal, or if it belongs to another ``take.json``."""
        self._sha256 = ""

    def read(self) -> bytes:
        """Read the whole file.

        A reader must call this before it reads ``take.json``. Records move from the journal to ``take.json``, so no
        record is missed in this order.

        Returns
        -------
        bytes
            Content of the file, empty if there is no journal.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        try:
            return read_shared(self.path, expected=False, most_bytes=JSON_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def follow(self, take: bytes, content: bytes = b"") -> list[dict[str, Any]]:
        """Make this the journal of a given ``take.json``, and parse its content.

        Parameters
        ----------
        take : bytes
            ``take.json`` as it is on disk.
        content : bytes
            The journal as it is on disk, from :meth:`read`. An unfinished last line is ignored.

        Returns
        -------
        list of dict
            Records in the order in which they were written; empty if the journal belongs to another ``take.json``.

        Raises
        ------
        ValueError
            A complete line is not a record.
        """
        self._sha256 = hashlib.sha256(take).hexdigest()
        self.size = 0
        first, *lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
        if first != self._first_line():
            return []
        self.size = len(first) + sum(map(len, lines))
        return [_record(line, number) for number, line in enumerate(lines, start=2)]

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record and sync the file to the disk.

        Parameters
        ----------
        record : mapping
            The record as plain JSON types.

        Raises
        ------
        TakeError
            The record cannot be written. The lines before it stay.
        """
        line = json_bytes(record) + b"\n"
        data = line if self.size else self._first_line() + line
        append_synced(self.path, data, self.size)
        self.size += len(data)

    def delete(self) -> None:
        """Delete the file if it exists.

        Raises
        ------
        TakeError
            The file cannot be deleted.
        """
        self.size = 0
        delete_shared(self.path)

    def _first_line(self) -> bytes:
        return json_bytes({_GOES_ON_FROM: self._sha256}) + b"\n"


def _record(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = parse_json(line)
    except ValueError as error:
        raise ValueError(f"line {number} of {JOURNAL_FILE}: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"line {number} of {JOURNAL_FILE} is not a record")
    return record
