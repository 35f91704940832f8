"""Writing and reading of takes: a folder with ``take.json`` and one ``frames/NNNNNN.npz`` per frame.

Each of these files is written under a temporary name, synced to the disk and renamed, so a reader only finds complete
files. Equal arrays give equal bytes. Records of the latest frames are in a journal (``take.journal``). The format is
specified in ``docs/take.md``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import Cancelled, TakeError
from im2hands.core.files import json_bytes, pack_arrays, read_shared, write_atomically
from im2hands.core.hands import Side
from im2hands.core.unpacking import JSON_BYTES, parse_json

from .edits import EDITS_FILE, SET_ASIDE_FILE
from .footage import FOOTAGE_ENTRY
from .frame_file import KEY, read_frame_file, with_arrays
from .header import check_header
from .journal import JOURNAL_FILE, TakeJournal
from .lock import LOCK_FILE, TakeLock
from .paths import check_paths
from .record import FOOTAGE_FOLDER, FRAMES_FOLDER, FrameRecord, frame_file

FORMAT = "im2hands-take"
VERSION = 1
TAKE_FILE = "take.json"
CACHE_FOLDER = "cache"
TEMPLATE_FILE = "template.npz"
MOTION_FILE = "motion.npz"
OWN_FILES = (
    TAKE_FILE, JOURNAL_FILE, FRAMES_FOLDER, FOOTAGE_FOLDER, TEMPLATE_FILE, MOTION_FILE, LOCK_FILE, EDITS_FILE,
    SET_ASIDE_FILE,
)  # fmt: skip

UNFINISHED = "unfinished"
"""Entry of the header: a run of the take has not come to its end."""

_LAST_ENTRIES = (FOOTAGE_ENTRY, "clean", UNFINISHED)
"""Entries of the header that are made during a job, in the order in which ``take.json`` has them."""

_ANEW = "Begin the take anew: im2hands reconstruct with --overwrite."

# take.json is rewritten when the journal reaches this share of its size. Each record is then written about three times.
_JOURNAL_SHARE = 1.0


class Take:
    """A take on disk: its header, its records, its frames. Made by :meth:`create` or :meth:`open`.

    Parameters
    ----------
    folder : Path
        Folder of the take.
    header : dict
        Fields of ``take.json`` without ``frames``.
    records : dict of int to FrameRecord
        Records by frame index.
    """

    def __init__(self, folder: Path, header: dict[str, Any], records: dict[int, FrameRecord]) -> None:
        self.folder = folder
        self.header = header
        self.records = records
        self._journal = TakeJournal(folder)
        self._saved_bytes = 0
        self._writing = threading.RLock()  # an abandoned call of a cancelled job may still be writing
        self._lock: TakeLock | None = None
        self._closed = False

    @classmethod
    def create(cls, folder: str | Path, header: Mapping[str, Any]) -> Take:
        """Begin a take: create ``folder`` if needed and write ``take.json`` without frames.

        Parameters
        ----------
        folder : str or Path
            Folder of the take.
        header : mapping
            ``source``, ``fps``, ``image_size``, ``camera``, ``settings``, ``provenance``.

        Returns
        -------
        Take
            The take, without frames.

        Raises
        ------
        TakeError
            The folder cannot be written, or a link in it leads out of it.
        """
        folder = Path(folder)
        check_paths(folder, ((None, name) for name in OWN_FILES))
        take = cls(folder, {"format": FORMAT, "version": VERSION, **header}, {})
        try:
            (folder / FRAMES_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TakeError(
                f"Cannot make the take folder {folder}: {error.strerror or error}.", "Choose a folder you may write to."
            ) from error
        take._journal.delete()  # a journal of an earlier take in this folder
        take.save()
        return take

    @classmethod
    def open(cls, folder: str | Path) -> Take:
        """Read a take: its ``take.json`` and its journal.

        Parameters
        ----------
        folder : str or Path
            Folder of the take, or the ``take.json`` in it.

        Returns
        -------
        Take
            The take. Its frames are not read.

        Raises
        ------
        TakeError
            There is no take, ``take.json`` is damaged, or it has a later version.
        UnsafePathError
            A path in the take leads out of the folder.
        """
        folder = Path(folder)
        if folder.name == TAKE_FILE:
            folder = folder.parent
        path = folder / TAKE_FILE
        check_paths(folder, ((None, name) for name in OWN_FILES))
        journal = TakeJournal(folder)
        try:
            finished_last = journal.read()  # before take.json, because records move from the journal to take.json
            content = read_shared(path, most_bytes=JSON_BYTES)
            data = parse_json(content)
        except FileNotFoundError as error:
            hint = f"A take is a folder with a {TAKE_FILE} in it."
            raise TakeError(f"There is no take in {folder}.", hint) from error
        except (OSError, ValueError) as error:
            raise TakeError(f"Cannot read {path}: {error}.", _ANEW) from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise TakeError(f"{path} is not an Im2Hands take.", f'Its "format" must be "{FORMAT}".')
        version = data.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise TakeError(
                f"{path} is a take of version {version}; this program reads up to version {VERSION}.",
                "Update Im2Hands for Blender.",
            )
        try:
            entries = [*data.pop("frames", []), *journal.follow(content, finished_last)]
            records = [FrameRecord.from_dict(entry) for entry in entries]
        except (KeyError, TypeError, ValueError) as error:
            raise TakeError(f"{path}: an entry of frames is damaged ({error}).", _ANEW) from error
        try:
            check_header(data)
        except ValueError as error:
            raise TakeError(f"{path} is damaged: {error}.", _ANEW) from error
        check_paths(folder, ((record.index, record.file) for record in records if record.file))
        take = cls(folder, data, {record.index: record for record in records})
        take._journal, take._saved_bytes = journal, len(content)
        return take

    @property
    def mirrored(self) -> bool:
        """Whether the pictures on disk are mirror images of the pictures that hands and cameras belong to."""
        return bool((self.header.get("settings") or {}).get("mirrored"))

    def hold(self, lock: TakeLock) -> None:
        """Keep the lock of the take until :meth:`close`.

        Parameters
        ----------
        lock : TakeLock
            The lock, which this process has.
        """
        self._lock = lock

    def close(self) -> None:
        """End the writing: wait for a write that is under way, refuse later ones, and release the lock."""
        with self._writing:
            self._closed = True
        if self._lock is not None:
            self._lock.release()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the take open and other threads from writing to it inside this context.

        Raises
        ------
        Cancelled
            The take was closed: the job has ended, and another job may write to the take.
        TakeError
            Another job has taken over the lock, because this computer slept or its connection was interrupted.
        """
        with self._writing:
            if self._closed:
                raise Cancelled("Stopped.")
            if self._lock is not None:
                self._lock.require()
            yield

    def save(self) -> None:
        """Write ``take.json`` with all records, and delete the journal.

        Raises
        ------
        TakeError
            A file cannot be written.
        """
        with self.writing():
            frames = [self.records[index].to_dict() for index in sorted(self.records)]
            header = {name: value for name, value in self.header.items() if name not in _LAST_ENTRIES}
            header |= {name: self.header[name] for name in _LAST_ENTRIES if name in self.header}
            data = json_bytes({**header, "frames": frames}, indent=1) + b"\n"
            write_atomically(self.folder / TAKE_FILE, data)
            self._saved_bytes = len(data)
            self._journal.follow(data)
            self._journal.delete()

    def finish(self) -> None:
        """Move the records of the journal to ``take.json``: other tools read only ``take.json``.

        Raises
        ------
        TakeError
            ``take.json`` cannot be written.
        """
        if self._journal.path.exists():
            self.save()

    def write_frame(self, record: FrameRecord, arrays: Mapping[str, np.ndarray] | None) -> None:
        """Write the file of a frame, then its record.

        Parameters
        ----------
        record : FrameRecord
            The record. Its ``file`` is set here.
        arrays : mapping of str to array, optional
            Arrays named ``{side}_{array}`` as in ``arrays.toml``; None if there is no hand, then no file is written.
            The record's key is added to them.

        Raises
        ------
        TakeError
            The frame cannot be written. Earlier frames stay.
        """
        with self.writing():
            record.file = ""
            if arrays is not None:
                record.file = frame_file(record.index)
                write_atomically(self.folder / record.file, pack_arrays({**arrays, KEY: np.array(record.key)}))
            self.records[record.index] = record
            self.write_record(record.index)

    def write_record(self, index: int) -> None:
        """Write the record of a frame to the disk.

        The record is appended to the journal, so the cost does not depend on the length of the take. Changes in
        ``header`` stay in memory until :meth:`save`.

        Parameters
        ----------
        index : int
            Index of the frame.

        Raises
        ------
        TakeError
            The record cannot be written. Earlier records stay.
        """
        with self.writing():
            self._journal.append(self.records[index].to_dict())
            if self._journal.size > _JOURNAL_SHARE * self._saved_bytes:
                self.save()

    def read_frame(self, index: int) -> dict[Side, dict[str, np.ndarray]]:
        """Read the arrays of a frame.

        Parameters
        ----------
        index : int
            Index of the frame.

        Returns
        -------
        dict of Side to dict of str to array
            Arrays by side and name (see ``arrays.toml``). A side without a hand is missing.

        Raises
        ------
        TakeError
            There is no such frame, or its file is missing or damaged.
        """
        path = self._frame_path(index)
        return read_frame_file(path).hands if path is not None else {}

    def read_arrays(self, index: int, names: Sequence[str]) -> dict[Side, dict[str, np.ndarray]]:
        """Read some arrays of a frame without decompressing the others.

        Parameters
        ----------
        index : int
            Index of the frame.
        names : sequence of str
            Names of arrays, without the side.

        Returns
        -------
        dict of Side to dict of str to array
            Arrays by side and name. Arrays that the frame does not have are missing.

        Raises
        ------
        TakeError
            There is no such frame, or its file is missing or damaged.
        """
        path = self._frame_path(index)
        return read_frame_file(path, tuple(names)).hands if path is not None else {}

    def add_arrays(self, index: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Add arrays to the file of a frame. ``take.json`` is not changed.

        Parameters
        ----------
        index : int
            Index of the frame.
        arrays : mapping of str to array
            Arrays named ``{side}_{array}``.

        Raises
        ------
        TakeError
            The frame cannot be read or written.
        """
        path = self.folder / self.records[index].file
        content = with_arrays(path, arrays)
        with self.writing():
            write_atomically(path, content)

    def is_complete(self, index: int, key: str) -> bool:
        """Return whether a frame is finished and was computed from the same data and settings.

        Parameters
        ----------
        index : int
            Index of the frame.
        key : str
            Hash of everything that the frame is computed from.

        Returns
        -------
        bool
            False for a frame that failed, or whose file is missing, damaged or of another key. A job that was killed
            between the file and its record leaves such a file.
        """
        record = self.records.get(index)
        if record is None or record.key != key or record.status == "failed":
            return False
        if not record.file:
            return not record.hands
        try:
            frame = read_frame_file(self.folder / record.file)
        except TakeError:
            return False
        return frame.key in (key, None) and set(frame.hands) == set(record.hands)

    def _frame_path(self, index: int) -> Path | None:
        """Return the file of a frame; None if it has no hands. Raises TakeError if there is no such frame."""
        record = self.records.get(index)
        if record is None:
            raise TakeError(f"The take {self.folder} has no frame {index}.")
        return self.folder / record.file if record.file else None

    def frames(self) -> Iterator[FrameRecord]:
        """Yield the records in the order of frame indices."""
        for index in sorted(self.records):
            yield self.records[index]
