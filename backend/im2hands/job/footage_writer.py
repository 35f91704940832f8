"""Writes copies of the pictures into a take while they are decoded, where Blender would not show the source rightly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from im2hands.core.errors import FrameError
from im2hands.core.files import link_atomically, write_atomically
from im2hands.media.footage import ASKED_FOR, DAMAGED, encode_copy
from im2hands.media.source import Entry, Frame, Source
from im2hands.take.footage import FOOTAGE_ENTRY, delete_copies, has_any_file, size_of_copies
from im2hands.take.record import FOOTAGE_FOLDER, FOOTAGE_PATTERN, footage_file
from im2hands.take.take import Take

from .events import Warned

Choice = Literal["auto", "always", "never"]

_MEGABYTE = 10**6


class FootageWriter:
    """Writes ``footage/NNNNNN.jpg`` for the frames of a job.

    Frames come by while the phases of the job decode them (:meth:`follow`). A file that has the right bytes already is
    not written. If a frame that is damaged, or that Blender would show otherwise, is noticed in the middle, the frames
    before it are written when they come by again, or at the end (:meth:`complete`).

    Parameters
    ----------
    take : Take
        The take. Its header gets the entry ``footage``.
    source : Source
        The opened source.
    choice : Choice
        The option ``footage``. With "never", the copies that the take has are deleted.
    reason : str
        Why Blender cannot show the source itself (``media.footage.why_copies``); empty if it can.
    check : callable
        Called before each frame of :meth:`complete`; raises Cancelled if the person asked to stop.

    Raises
    ------
    TakeError
        The take cannot be written.
    """

    def __init__(
        self, take: Take, source: Source, choice: Choice, reason: str, check: Callable[[], None] = lambda: None
    ) -> None:
        self._take, self._source, self._choice, self._check = take, source, choice, check
        self._good: set[int] = set()  # frames whose copies are right
        self._lost: set[int] = set()  # frames that cannot be decoded or copied
        self._written = 0
        self._blocked = ""  # the reason for copies that cannot be written because the folder has files of other origin
        self._is_active = False
        if choice == "never":
            self._stop()
        elif reason or choice == "always" or FOOTAGE_ENTRY in take.header:
            self._start(reason or (ASKED_FOR if choice == "always" else ""))

    def follow(self, frames: Iterable[tuple[Entry, Frame | FrameError]]) -> Iterator[tuple[Entry, Frame | FrameError]]:
        """Pass decoded frames on, after their copies are written.

        Parameters
        ----------
        frames : iterable of (Entry, Frame or FrameError)
            What ``Source.read`` yields.

        Yields
        ------
        Entry
            The entry.
        Frame or FrameError
            The same frame or error.

        Raises
        ------
        TakeError
            A copy cannot be written.
        """
        for entry, frame in frames:
            if isinstance(frame, FrameError):
                self._lost.add(entry.index)
                if self._choice == "auto" and self._source.clip is not None and not self._is_active:
                    self._start(DAMAGED)
            else:
                if frame.differs and self._choice == "auto" and not self._is_active:
                    self._start(frame.differs)
                if self._is_active:
                    self._copy(entry.index, frame.image)
            yield entry, frame

    def complete(self) -> Warned | None:
        """Write the copies that are missing after the phases.

        A frame that cannot be decoded gets the picture before it, and so do the frames between the steps of a job.

        Returns
        -------
        Warned or None
            What a person should know about the copies; None if none was written.

        Raises
        ------
        Cancelled
            The person asked to stop.
        TakeError
            A copy cannot be written.
        """
        if self._blocked:
            return Warned(
                f"Blender cannot show the source with these hands ({self._blocked}), but copies of its pictures were "
                f"not written: {self._take.folder / FOOTAGE_FOLDER} has files that are not of this take.",
                "Name another output folder, or rename that folder.",
            )
        if not self._is_active:
            return None
        for _ in self.follow(self._source.read(self._missing())):
            self._check()
        self._hold()
        entry, size = self._take.header[FOOTAGE_ENTRY], size_of_copies(self._take.folder)
        if entry.get("bytes") != size:
            entry["bytes"] = size
            self._take.save()
        if not self._written:
            return None
        return Warned(
            f"{self._written} copies of the pictures were written into the folder {FOOTAGE_FOLDER} of the take "
            f"({size / _MEGABYTE:.1f} MB in all), and Blender shows them in place of the source: {entry['reason']}.",
            "Without copies: --footage never (Footage Copies: Never).",
        )

    def _start(self, reason: str) -> None:
        """Announce copies in the take's header, unless their folder has files of somebody else."""
        known = self._take.header.get(FOOTAGE_ENTRY)
        if known is None and has_any_file(self._take.folder):
            self._blocked = reason
            return
        before = known if isinstance(known, dict) else {}
        entry = {
            "pattern": FOOTAGE_PATTERN,
            "reason": reason or before.get("reason") or ASKED_FOR,
            "bytes": before.get("bytes") or 0,
        }
        self._is_active = True
        if entry != known:
            self._take.header[FOOTAGE_ENTRY] = entry
            self._take.save()

    def _stop(self) -> None:
        if self._take.header.pop(FOOTAGE_ENTRY, None) is not None:
            self._take.save()
            with self._take.writing():
                delete_copies(self._take.folder)

    def _path(self, index: int) -> Path:
        return self._take.folder / footage_file(index)

    def _copy(self, index: int, pixels: np.ndarray) -> None:
        if index in self._good:
            return
        try:
            data = encode_copy(pixels)
        except FrameError:  # larger than any JPEG file; the frame itself may still have hands
            self._lost.add(index)
            return
        path = self._path(index)
        if not _has_bytes(path, data):
            with self._take.writing():
                write_atomically(path, data)
            self._written += 1
        self._good.add(index)
        self._lost.discard(index)

    def _missing(self) -> list[Entry]:
        """Return the frames of the take that did not come by and have no copy, also those of earlier jobs."""
        known = {entry.index: entry for entry in self._source.entries}
        found = []
        for index in sorted(self._take.records):
            if index in self._good or index in self._lost:
                continue
            if self._path(index).is_file():
                self._good.add(index)
            else:
                found.append(known.get(index) or self._entry(index))
        return found

    def _entry(self, index: int) -> Entry:
        """Make the entry of a frame that this job was not asked for."""
        extra = self._take.records[index].extra
        path = Path(extra.get("image") or self._source.entries[0].path)
        return Entry(index, float(extra.get("time") or 0.0), path.name, path)

    def _hold(self) -> None:
        """Repeat pictures on frames without one: those that were lost, and those between the steps."""
        indices = sorted(self._take.records)
        good = [index for index in indices if index in self._good]
        if not good:
            return
        shown = good[0]  # frames before the first good picture show that one
        for index, following in zip(indices, [*indices[1:], None], strict=True):
            self._check()
            shown = index if index in self._good else shown
            end = index + self._source.step
            for number in range(index, end if following is None else min(end, following)):
                if number != shown:
                    self._repeat(shown, number)

    def _repeat(self, index: int, number: int) -> None:
        """Show the copy of frame ``index`` also on frame ``number``."""
        source, target = self._path(index), self._path(number)
        with contextlib.suppress(OSError):
            if target.samefile(source) or target.read_bytes() == source.read_bytes():
                return
        with self._take.writing():
            link_atomically(source, target)
        self._written += 1


def _has_bytes(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:  # missing, or damaged: it is written anew
        return False
