"""Reading and writing of files: regular files only, also while other programs have them open; JSON, arrays as bytes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from im2hands.core.errors import TakeError

# On Windows a file cannot be replaced or deleted while a program has it open: the add-on, a virus scanner, a backup.
WRITE_PATIENCE_SECONDS = 3.0
READ_PATIENCE_SECONDS = 0.25

MAX_BYTES = 2 * 10**9
"""Largest file that is read at once, bytes. Frames, keypoint files and weights are far smaller."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.1
_IN_USE: tuple[type[OSError], ...] = (PermissionError,)
_IN_USE_OR_REPLACED: tuple[type[OSError], ...] = (PermissionError, FileNotFoundError)

# A pipe is opened without waiting for a writer. Windows has no such flag, and no pipes among its files.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

Result = TypeVar("Result")


def require_regular(path: Path) -> os.stat_result:
    """Refuse what is not a regular file, without opening it.

    A pipe would be waited for without end, a device such as ``/dev/zero`` read without end. Every reader of a file that
    a person names calls this function, :func:`open_regular` or :func:`read_regular`.

    Parameters
    ----------
    path : Path
        The file, or a link to it.

    Returns
    -------
    os.stat_result
        Facts about the file, for example its size.

    Raises
    ------
    OSError
        There is no such file, or it is a folder, a pipe, a socket or a device. Its ``strerror`` says what it is.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, "it is no possible path", str(path)) from error
    _refuse_special(found, path)
    return found


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Parameters
    ----------
    path : Path
        The file, or a link to it.

    Returns
    -------
    binary stream
        The open file.

    Raises
    ------
    OSError
        The file cannot be opened, or :func:`require_regular` refuses it.
    """
    require_regular(path)
    handle = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT))  # noqa: SIM115 (returned)
    try:
        _refuse_special(os.fstat(handle.fileno()), path)  # it may have been exchanged since
    except OSError:
        handle.close()
        raise
    return handle


def read_regular(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a whole regular file.

    Parameters
    ----------
    path : Path
        The file, or a link to it.
    limit : int
        Largest allowed size, bytes.

    Returns
    -------
    bytes
        The complete content.

    Raises
    ------
    OSError
        The file cannot be read, is larger than ``limit``, or :func:`require_regular` refuses it.
    """
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        data = handle.read(size + 1) if size <= limit else None  # the buffer has the size that is asked for
    if data is None or len(data) > size:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 10**6} MB", str(path))
    return data


@contextlib.contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Provide a path to a file for a library that takes only names in UTF-8; Linux allows others.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    Path
        The path itself if it is UTF-8, or else a path to the file that is valid inside the context.

    Raises
    ------
    OSError
        The path is not UTF-8, and the file cannot be opened.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        with open_regular(path) as handle:
            yield Path(f"/proc/self/fd/{handle.fileno()}")
    else:
        yield path


def _refuse_special(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = next((words for is_one, words in _KINDS if is_one(found.st_mode)), "something else")
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(code, f"it is {what}, not a regular file", str(path))


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Each call uses its own temporary file, ``.NAME.PID.RANDOM.tmp`` in the same folder. A process that is killed
    leaves it behind. If two calls run at the same time, one of the two complete files remains.

    Parameters
    ----------
    path : Path
        The file. Its folder is created if it does not exist.
    data : bytes
        The complete content.

    Raises
    ------
    TakeError
        The folder cannot be written, the disk is full, or another program keeps ``path`` open for longer than
        ``WRITE_PATIENCE_SECONDS``. The old file stays unchanged.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as handle:
            _write_synced(handle, data)
        _patiently(lambda: temporary.replace(path), WRITE_PATIENCE_SECONDS, _IN_USE)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder is gone: there is nothing to delete
            temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def link_atomically(source: Path, path: Path) -> None:
    """Give a file a second name, so that a reader of that name sees the old file or the new one.

    Both names share the room on the disk. File systems without hard links get a second file.

    Parameters
    ----------
    source : Path
        The file.
    path : Path
        The second name, in an existing folder of the same file system.

    Raises
    ------
    TakeError
        The second name cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(source, temporary)
        _patiently(lambda: temporary.replace(path), WRITE_PATIENCE_SECONDS, _IN_USE)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        try:
            data = read_shared(source)
        except OSError as error:
            raise _cannot_write(path, error) from error
        write_atomically(path, data)


def append_synced(path: Path, data: bytes, size: int) -> None:
    """Write ``data`` after the first ``size`` bytes of ``path`` and sync the file to the disk.

    Parameters
    ----------
    path : Path
        The file. If ``size`` is 0, the file is created or replaced.
    data : bytes
        The bytes to append.
    size : int
        Number of bytes of the file that stay. The bytes after them come from an interrupted write and are removed.

    Raises
    ------
    TakeError
        The file cannot be written, or the disk is full. The first ``size`` bytes stay unchanged.
    """
    try:
        with _patiently(lambda: open(path, "r+b" if size else "wb"), WRITE_PATIENCE_SECONDS, _IN_USE) as handle:
            handle.seek(size)
            handle.truncate()
            _write_synced(handle, data)
    except OSError as error:
        raise _cannot_write(path, error) from error


def delete_shared(path: Path) -> None:
    """Delete a file that other programs may have open. A missing file is no error.

    Parameters
    ----------
    path : Path
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


def read_shared(path: Path, *, expected: bool = True, most_bytes: int = MAX_BYTES) -> bytes:
    """Read a whole file at once, while another program may be replacing it.

    The file is open only for a moment, because an open file cannot be replaced on Windows.

    Parameters
    ----------
    path : Path
        The file.
    expected : bool
        Whether the file is known to exist. A missing file is then tried again, because it may be about to be replaced.
    most_bytes : int
        Limit of the file's size.

    Returns
    -------
    bytes
        The complete content.

    Raises
    ------
    OSError
        The file cannot be read, or is missing, for longer than ``READ_PATIENCE_SECONDS``. Or it is larger than
        ``most_bytes``, or not a regular file.
    """
    errors = _IN_USE_OR_REPLACED if expected and path.parent.is_dir() else _IN_USE
    return _patiently(lambda: read_regular(path, most_bytes), READ_PATIENCE_SECONDS, errors)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal.

    Parameters
    ----------
    path : Path
        The file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    r"""Encode a value as JSON in UTF-8; paths in it may contain bytes that are not UTF-8.

    Python holds such a byte as a lone surrogate, for which UTF-8 has no code. It is written as a JSON escape
    (``\udcff`` for the byte 255). Python's JSON reader turns the escape back into the same path.

    Parameters
    ----------
    value : Any
        Plain JSON types.
    indent : int, optional
        Spaces per level; None writes everything on one line.

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
    """Pack arrays into a compressed ``.npz`` file whose bytes depend only on the arrays.

    Names are sorted and there are no time stamps, so that equal arrays give equal bytes.

    Parameters
    ----------
    arrays : mapping of str to array
        Arrays by name.

    Returns
    -------
    bytes
        Content of the ``.npz`` file.
    """
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
    """Return the result of ``action``; after one of ``errors`` try again, with growing pauses, for ``seconds``."""
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
