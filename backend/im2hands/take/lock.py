"""The lock of a take, ``take.lock``: only one job or clean run at a time writes to a take.

Two facts decide whether the owner of a lock file still works:

* The kernel's lock on the file. It ends with the process, however the process ends. It is valid between the processes
  of one running computer, and on some shared folders also between computers.
* The sign of life. The owner renews the time of the file every :data:`BEAT_SECONDS`. Another computer, and a computer
  that was started again, believes a lock whose time is not older than :data:`LIFE_SECONDS`. Both times come from the
  file system, so the clocks of the computers need not agree.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError, TakeError

LOCK_FILE = "take.lock"
BEAT_SECONDS = 10.0
LIFE_SECONDS = 60.0

_MOST_BYTES = 4096  # of a lock file; ours has less than 300
_ATTEMPTS = 20  # the file may be deleted by its owner between opening and locking, so that it has to be opened again
_NO_KERNEL_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # of some network file systems
_LOCKED_BYTE = 1 << 30  # Windows locks bytes against reading too, so a byte far behind the text is locked

if sys.platform == "win32":
    import msvcrt

    def _try_kernel_lock(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_kernel_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class TakeLock:
    """The lock of one take. Made by :meth:`acquire`.

    Parameters
    ----------
    path : Path
        The lock file.
    handle : int
        Descriptor of the opened file, which has the kernel's lock.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="im2hands-take-lock", daemon=True)
        self._beating.start()

    @classmethod
    def acquire(cls, folder: Path) -> TakeLock:
        """Lock a take. The lock of an owner that no longer works is taken over.

        Parameters
        ----------
        folder : Path
            Folder of the take, which exists.

        Returns
        -------
        TakeLock
            The lock. Call :meth:`release` at the end.

        Raises
        ------
        InputError
            Another job uses the take.
        TakeError
            The folder cannot be written.
        """
        path = folder / LOCK_FILE
        try:
            for _ in range(_ATTEMPTS):
                handle = _opened(path)
                try:
                    if _is_locked_for_us(handle, path, folder):
                        _write_owner(handle)
                        return cls(path, handle)
                except BaseException:
                    os.close(handle)
                    raise
                os.close(handle)
        except OSError as error:
            hint = "Choose a folder you may write to, on a disk with room."
            raise TakeError(f"Cannot write {path}: {error.strerror or error}.", hint) from error
        raise _in_use(folder, {})

    def release(self) -> None:
        """Delete the lock file and end the lock. May be called twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._beating.join()
        if sys.platform == "win32":  # an open file cannot be deleted there; one that another job opened is not deleted
            os.close(self._handle)
            with contextlib.suppress(OSError):
                self._path.unlink()
            return
        with contextlib.suppress(OSError):  # without the file, or in a folder that is gone, the lock ends all the same
            if _is_same_file(self._handle, self._path):
                self._path.unlink()
        os.close(self._handle)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # the next beat may succeed; the kernel's lock does not need it
                os.utime(self._path if os.utime not in os.supports_fd else self._handle)


def _opened(path: Path) -> int:
    """Open the lock file, and create it if there is none. A link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o644)


def _is_locked_for_us(handle: int, path: Path, folder: Path) -> bool:
    """Return whether this process now has the lock; False if the file was deleted meanwhile.

    Raises InputError if another job works in the take.
    """
    conclusive = True
    try:
        _try_kernel_lock(handle)
    except OSError as error:
        if error.errno not in _NO_KERNEL_LOCKS:
            raise _in_use(folder, _owner(handle)) from error
        conclusive = False
    if not _is_same_file(handle, path):
        return False
    owner = _owner(handle)
    decided = conclusive and owner.get("computer") == _computer()
    if owner and not decided and _seconds_since_life(handle, folder) < LIFE_SECONDS:
        raise _in_use(folder, owner)
    return True


def _is_same_file(handle: int, path: Path) -> bool:
    """Return whether a path still names an opened file."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _seconds_since_life(handle: int, folder: Path) -> float:
    """Return the age of the lock file by the clock of its file system; a time in the future counts as an age too."""
    probe = folder / f".{LOCK_FILE}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        other = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            now = os.fstat(other).st_mtime
        finally:
            os.close(other)
    finally:
        probe.unlink(missing_ok=True)
    return abs(now - os.fstat(handle).st_mtime)


def _owner(handle: int) -> dict[str, Any]:
    """Return what a lock file says about its owner; empty if it says nothing."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        owner = json.loads(os.read(handle, _MOST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _write_owner(handle: int) -> None:
    owner = {
        "host": platform.node(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "computer": _computer(),
    }  # fmt: skip
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(owner).encode("utf-8") + b"\n")  # not synced: after a crash no owner is the truth


def _computer() -> str:
    """Return a name of this running computer. On Linux it changes with every start, and containers share it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return platform.node()


def _in_use(folder: Path, owner: dict[str, Any]) -> InputError:
    pid, host, since = (owner.get(name) for name in ("pid", "host", "since"))
    if not isinstance(pid, int) or not isinstance(host, str) or not isinstance(since, str):
        return InputError(f"The take {folder} is in use by another job.", _WAIT)
    if owner.get("computer") == _computer():
        who = "another job of this program" if pid == os.getpid() else f"another job, process {pid} on this computer"
        return InputError(f"The take {folder} is in use by {who}, since {since[:40]}.", _WAIT)
    return InputError(
        f"The take {folder} is in use by another job, process {pid} on {host[:80]!r}, since {since[:40]}.",
        f"{_WAIT} If that computer was switched off, try again in {LIFE_SECONDS:.0f} seconds.",
    )


_WAIT = "Wait until it ends, stop it, or name another output folder."
