"""Hashes of the pictures of a source, by which a job knows what it computed before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from im2hands.core.errors import FrameError
from im2hands.media.source import Entry, Source

from .detection_cache import digest, fingerprint


class PictureHashes:
    """Hashes the files of a source, each once.

    Parameters
    ----------
    source : Source
        The opened source.
    check : callable
        Called between two files. Raises Cancelled if the person asked to stop.
    """

    def __init__(self, source: Source, check: Callable[[], None]) -> None:
        self._source, self._check = source, check
        self._files: dict[Path, str] = {}

    def of_picture(self, entry: Entry) -> str:
        """Return the hash of one picture; of a clip, that of its file and the frame's number.

        Parameters
        ----------
        entry : Entry
            The frame.

        Raises
        ------
        FrameError
            The file cannot be read.
        """
        file = self.of_file(entry)
        found = digest(file, entry.index) if self._source.clip is not None else file
        return digest(found, "mirrored") if self._source.mirrored else found

    def of_file(self, entry: Entry) -> str:
        """Return the hash of the file that a frame is in. Raises FrameError if it cannot be read."""
        if entry.path not in self._files:
            self._files[entry.path] = fingerprint(entry.path)
        return self._files[entry.path]

    def of_sequence(self, settings: str) -> str:
        """Return the hash of everything that the hands of a clip or numbered sequence depend on.

        Parameters
        ----------
        settings : str
            Hash of the settings.
        """
        entries = self._source.entries
        contents = self.of_file(entries[0]) if self._source.clip is not None else [self._known(one) for one in entries]
        return digest(contents, [entry.index for entry in entries], self._source.fps, settings)

    def _known(self, entry: Entry) -> str | None:
        """Hash one picture of a sequence; None if it cannot be read, which is reported when its frame is read."""
        self._check()
        try:
            return self.of_file(entry)
        except FrameError:
            return None
