"""The lock of a take, ``take.lock``: only one job or clean run at a time writes to a take.

Two facts decide whether the owner of a lock file still works:

* The kernel's lock on the file. It ends with the process, however the process ends. It is valid between the processes
  of one running computer, and on some shared folders also between computers.
* The sign of life. The owner renews the time of the file every :data:`BEAT_SECONDS`. Another computer, and a computer
  that was started again, believes a lock whose time is not older than :data:`LIFE_SECONDS`. Both times come from the
  file system, so the clocks of the computers need not agree.

An owner that could give no sign of life, for example because its computer slept, may lose the lock. So it reads the
file before each write (:meth:`TakeLock.require`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import stat
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError, TakeError
from im2hands.core.files import read_regular

LOCK_FILE = "take.lock"
BEAT_SECONDS = 10.0
LIFE_SECONDS = 60.0

_MOST_BYTES = 4096  # of a lock file; ours has less than 300
_ATTEMPTS = 20  # the file may be deleted by its owner between opening and locking, so that it has to be opened again
_NO_KERNEL_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)  # of some network file systems
_NO_FILE = "not a regular file"
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
    folder : Path
        Folder of the take.
    handle : int
        Descriptor of the opened lock file, which has the kernel's lock.
    text : bytes
        Content of the lock file, which names this owner.
    made : list of Path
        Folders that were made for the lock, innermost first.
    """

    def __init__(self, folder: Path, handle: int, text: bytes, made: list[Path]) -> None:
        self.folder = folder
        self._path, self._handle, self._text, self._made = folder / LOCK_FILE, handle, text, made
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="im2hands-take-lock", daemon=True)
        self._beating.start()

    @classmethod
    def acquire(cls, folder: Path) -> TakeLock:
        """Lock a take. The lock of an owner that no longer works is taken over.

        Parameters
        ----------
        folder : Path
            Folder of the take. If it does not exist, it is made, and :meth:`release` deletes it if it is still empty.

        Returns
        -------
        TakeLock
            The lock. Call :meth:`release` at the end.

        Raises
        ------
        InputError
            Another job uses the take.
        TakeError
            The folder cannot be made or written, or the lock file cannot be opened.
        """
        path, made = folder / LOCK_FILE, list[Path]()
        try:
            for _ in range(_ATTEMPTS):
                made = made or _make(folder)
                try:
                    handle = _opened(path)
                except FileNotFoundError:  # its last owner deleted the folder, which was empty
                    made = []
                    continue
                try:
                    if _is_locked_for_us(handle, path, folder):
                        return cls(folder, handle, _write_owner(handle), made)
                except BaseException:
                    os.close(handle)
                    raise
                os.close(handle)
        except OSError as error:
            raise _cannot_lock(path, error) from error
        raise _in_use(folder, {})

    def require(self) -> None:
        """Check before a write that no other job has taken over the lock.

        Raises
        ------
        TakeError
            The lock file is gone, or names another owner.
        """
        if self._is_ours():
            return
        try:
            owner = _parsed(read_regular(self._path, _MOST_BYTES))
        except OSError:
            owner = {}
        who = _in_use(self.folder, owner).message if owner else f"{self._path} was deleted."
        raise TakeError(
            f"This job was interrupted for so long that it lost the take, or somebody interfered. {who}",
            "Everything that was finished is kept. Start the job again to continue, when no other job uses the take.",
        )

    def release(self) -> None:
        """Delete the lock file and end the lock, unless it was taken over. May be called twice."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._beating.join()
        is_ours = self._is_ours()
        if sys.platform == "win32":  # an open file cannot be deleted there; one that another job opened is not deleted
            os.close(self._handle)
        with contextlib.suppress(OSError):  # without the file, or in a folder that is gone, the lock ends all the same
            if is_ours:
                self._path.unlink()
        if sys.platform != "win32":
            os.close(self._handle)
        with contextlib.suppress(OSError):  # not empty: the take stays
            for folder in self._made if is_ours else ():
                folder.rmdir()

    def _is_ours(self) -> bool:
        try:
            return read_regular(self._path, _MOST_BYTES) == self._text
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        except OSError:  # an interrupted connection, or a virus scanner: a write will tell
            return True

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS) and self._is_ours():
            with contextlib.suppress(OSError):  # the next beat may succeed; the kernel's lock does not need it
                os.utime(self._path if os.utime not in os.supports_fd else self._handle)


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that did not exist, innermost first."""
    try:
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TakeError(
            f"Cannot make the take folder {folder}: {error.strerror or error}.", "Choose a folder you may write to."
        ) from error
    return missing


def _opened(path: Path) -> int:
    """Open the lock file, and create it if there is none. Links, pipes and devices are not opened."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, _NO_FILE)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o644)


def _cannot_lock(path: Path, error: OSError) -> TakeError:
    if error.strerror == _NO_FILE:
        return TakeError(f"Cannot lock the take {path.parent}: {path} is {_NO_FILE}.", "Rename or delete it.")
    if isinstance(error, PermissionError) and path.exists():
        hint = "If no other job uses the take, delete that file. Otherwise name another output folder."
        return TakeError(f"Cannot lock the take {path.parent}: {path} cannot be opened ({error.strerror}).", hint)
    hint = "Choose a folder you may write to, on a disk with room."
    return TakeError(f"Cannot write {path}: {error.strerror or error}.", hint)


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
        return _parsed(os.read(handle, _MOST_BYTES))
    except OSError:
        return {}


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _write_owner(handle: int) -> bytes:
    """Name this process in a lock file; return the content."""
    owner = {
        "host": platform.node(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "computer": _computer(), "id": secrets.token_hex(8),
    }  # fmt: skip
    text = json.dumps(owner).encode("utf-8") + b"\n"
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text)  # not synced: after a crash no owner is the truth
    return text


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
