"""The journal of a take: ``frames.jsonl``, records of finished frames that ``take.json`` does not hold yet.

Its first line names the exact ``take.json`` that it goes on from, by sha256. So it counts beside no other: one that is
left over, because the process was killed between writing ``take.json`` and deleting it, changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from im2hands.core.files import append_synced, delete_shared, json_bytes, read_shared

JOURNAL_FILE = "frames.jsonl"
_GOES_ON_FROM = "take_sha256"


class TakeJournal:
    """Reads and appends to ``frames.jsonl`` of one take.

    Parameters
    ----------
    folder
        The take.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.size = 0
        """Bytes of its whole lines; 0 while there is none that counts."""
        self._sha256 = ""

    def read(self) -> bytes:
        """All of the file, empty if there is none.

        A reader calls this before it reads ``take.json``: records move from here to there, so it misses none.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        try:
            return read_shared(self.path, expected=False)
        except (FileNotFoundError, NotADirectoryError):
            return b""

    def follow(self, take: bytes, content: bytes = b"") -> list[dict[str, Any]]:
        """Go on from ``take``, with what :meth:`read` gave.

        Parameters
        ----------
        take
            ``take.json`` as it is on disk.
        content
            The journal as it is on disk. An unfinished last line is left out.

        Returns
        -------
        list of dict
            Records, in the order in which they were written; empty if the journal belongs to another ``take.json``.

        Raises
        ------
        ValueError
            A whole line is no record.
        """
        self._sha256 = hashlib.sha256(take).hexdigest()
        self.size = 0
        first, *lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True) or [b""]
        if first != self._first_line():
            return []
        self.size = len(first) + sum(map(len, lines))
        return [_record(line, number) for number, line in enumerate(lines, start=2)]

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record behind the others and sync it.

        Parameters
        ----------
        record
            Plain JSON types.

        Raises
        ------
        TakeError
            It cannot be written; the lines before it stay.
        """
        line = json_bytes(record) + b"\n"
        data = line if self.size else self._first_line() + line
        append_synced(self.path, data, self.size)
        self.size += len(data)

    def delete(self) -> None:
        """Delete the file, if there is one.

        Raises
        ------
        TakeError
            It cannot be deleted.
        """
        self.size = 0
        delete_shared(self.path)

    def _first_line(self) -> bytes:
        return json_bytes({_GOES_ON_FROM: self._sha256}) + b"\n"


def _record(line: bytes, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"line {number} of {JOURNAL_FILE}: {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"line {number} of {JOURNAL_FILE} is no record")
    return record
