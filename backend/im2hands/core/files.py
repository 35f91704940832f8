"""Writes and reads files that other programs may have open at that moment; JSON and arrays as bytes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from im2hands.core.errors import TakeError

# Windows neither replaces nor deletes a file that a program has open: the add-on, a virus scanner, a backup.
WRITE_PATIENCE_SECONDS = 3.0
READ_PATIENCE_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.1
_IN_USE: tuple[type[OSError], ...] = (PermissionError,)
_IN_USE_OR_REPLACED: tuple[type[OSError], ...] = (PermissionError, FileNotFoundError)

Result = TypeVar("Result")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Each call has a temporary file of its own, ``.NAME.PID.RANDOM.tmp`` beside ``path``. A process that is killed
    leaves it behind. Two calls at the same time leave the complete file of one of them.

    Parameters
    ----------
    path
        The file. Its folder is made if absent.
    data
        All of its content.

    Raises
    ------
    TakeError
        The folder cannot be written, the disk is full, or another program keeps ``path`` open for longer than
        ``WRITE_PATIENCE_SECONDS``. The old file is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as handle:
            _write_synced(handle, data)
        _patiently(lambda: temporary.replace(path), WRITE_PATIENCE_SECONDS, _IN_USE)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder went away: nothing is left to clean
            temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def append_synced(path: Path, data: bytes, size: int) -> None:
    """Write ``data`` behind the first ``size`` bytes of ``path`` and sync it.

    Parameters
    ----------
    path
        The file. With a size of 0 it is begun, or begun anew.
    data
        What is appended.
    size
        How much of the file stays, bytes. What lies behind is a write that did not come to its end.

    Raises
    ------
    TakeError
        The file cannot be written, or the disk is full. The first ``size`` bytes are left as they were.
    """
    try:
        with _patiently(lambda: open(path, "r+b" if size else "wb"), WRITE_PATIENCE_SECONDS, _IN_USE) as handle:
            handle.seek(size)
            handle.truncate()
            _write_synced(handle, data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def delete_shared(path: Path) -> None:
    """Delete a file that other programs may have open, if it is there.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    TakeError
        The file cannot be deleted, or another program keeps it open for longer than ``WRITE_PATIENCE_SECONDS``.
    """
    try:
        _patiently(lambda: path.unlink(missing_ok=True), WRITE_PATIENCE_SECONDS, _IN_USE)
    except OSError as error:
        raise _cannot_write(path, error) from error


def read_shared(path: Path, *, expected: bool = True) -> bytes:
    """Read a file at once, so that it is open for a moment only, while another program may be replacing it.

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
        The file cannot be read, or is absent, for longer than ``READ_PATIENCE_SECONDS``.
    """
    errors = _IN_USE_OR_REPLACED if expected and path.parent.is_dir() else _IN_USE
    return _patiently(path.read_bytes, READ_PATIENCE_SECONDS, errors)


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    r"""JSON as UTF-8, also of paths that are no UTF-8.

    Python holds a byte of a file name that is no UTF-8 as a lone surrogate. UTF-8 has no code for it. It is written as
    a JSON escape (``\udcff`` for the byte 255), which every JSON reader of Python turns back into the same path.

    Parameters
    ----------
    value
        Plain JSON types.
    indent
        Spaces a level; None for one line.

    Returns
    -------
    bytes
        The text, without a line end.

    Raises
    ------
    ValueError
        A number is not finite.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", errors="backslashreplace")


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An ``.npz`` whose bytes depend on the arrays alone (no time stamps, sorted names, deflated)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(arrays):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(arrays[name], order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, part.getvalue())
    return buffer.getvalue()


def _write_synced(handle: BinaryIO, data: bytes) -> None:
    handle.write(data)
    handle.flush()
    os.fsync(handle.fileno())


def _patiently(action: Callable[[], Result], seconds: float, errors: tuple[type[OSError], ...]) -> Result:
    """What ``action`` returns; it is repeated after ``errors``, with growing pauses, for that many seconds."""
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except errors:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _cannot_write(path: Path, error: OSError) -> TakeError:
    hint = "Choose a folder you may write to, on a disk with room."
    if isinstance(error, PermissionError):
        hint = "Close the programs that have it open, or choose a folder you may write to."
    return TakeError(f"Cannot write {path}: {error.strerror or error}.", hint)
