"""The journal of a preparation, ``samples.jsonl``: what became of each photo.

Each photo that may be kept gets a line in ``samples.jsonl`` once its files are on disk::

    {"format": "im2hands-prepared", "version": 1, "settings": {...}}
    {"image": 12, "index": 0, "fit_mm": {"left": 4.2, "right": 3.9}}
    {"image": 13, "skipped": "the photo is dark: its mean is below 10"}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError
from im2hands.core.files import append_synced, json_bytes, read_regular

from .layout import JOURNAL

FORMAT, VERSION = "im2hands-prepared", 1


class Journal:
    """``samples.jsonl``: what became of the photos so far.

    Parameters
    ----------
    folder : Path
        Folder of the split.
    settings : mapping of str to Any
        What decides which crops there are, as JSON types. A preparation is continued with the same settings only.
    resume : bool
        Whether to continue what is there.

    Attributes
    ----------
    entries : list of dict
        A line for each photo that is done.

    Raises
    ------
    InputError
        There is a journal and ``resume`` is False, or it has other settings, or it is damaged.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], resume: bool) -> None:
        self._path = folder / JOURNAL
        wanted = {"format": FORMAT, "version": VERSION, "settings": dict(settings)}
        self.entries: list[dict[str, Any]] = []
        self._size = 0
        if self._path.exists():
            if not resume:
                raise InputError(f"{folder} holds a preparation.", "Give --resume to continue it, or another --out.")
            self._read(wanted)
        elif (folder / "anno").exists():
            raise InputError(
                f"{folder} holds crops of another program.", "Choose another --out: nothing is overwritten."
            )
        if not self._size:
            self._append([wanted])

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add the lines of photos whose files are on disk."""
        self._append(entries)
        self.entries += entries

    def _append(self, entries: Sequence[dict[str, Any]]) -> None:
        data = b"".join(json_bytes(entry) + b"\n" for entry in entries)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_synced(self._path, data, self._size)
        self._size += len(data)

    def _read(self, wanted: dict[str, Any]) -> None:
        whole = read_regular(self._path).rpartition(b"\n")[0]  # without the rest of an interrupted line
        if not whole:
            return
        try:
            head, *lines = (json.loads(line) for line in whole.split(b"\n"))
            indices = [line["index"] for line in lines if "index" in line]
            if indices != list(range(len(indices))) or not all("image" in line for line in lines):
                raise ValueError("its numbers have a gap")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self._path} is damaged: {error}.", "Prepare into another folder.") from error
        if head != wanted:
            differing = [
                name for name, value in wanted["settings"].items()
                if not isinstance(head, dict) or head.get("settings", {}).get(name) != value
            ]  # fmt: skip
            raise InputError(
                f"{self._path.parent} was prepared with other settings ({', '.join(differing) or 'version'}).",
                "Give the same ones, or choose another --out.",
            )
        self.entries, self._size = lines, len(whole) + 1
