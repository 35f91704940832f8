"""Logging to a rotating file in the user's state folder, and to standard error."""

from __future__ import annotations

import io
import logging
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_NAME = "im2hands.log"
LOG_BYTES, LOG_FILES = 2 * 2**20, 3

# Environment variables that silence libraries on standard error. Values that the user has set have precedence.
QUIET = {
    "GLOG_minloglevel": "2",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OPENCV_LOG_LEVEL": "ERROR",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


def state_folder() -> Path:
    """Return the folder of the user's logs, which may not exist yet. ``IM2HANDS_STATE`` overrides it."""
    own = os.environ.get("IM2HANDS_STATE")
    if own:
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "im2hands"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "im2hands"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "im2hands"


def set_up_logging(*, stderr: bool, debug: bool = False) -> Path:
    """Send the program's log to a rotating file, and optionally to standard error.

    Parameters
    ----------
    stderr : bool
        Whether to log to standard error too.
    debug : bool
        Whether to log debug messages.

    Returns
    -------
    Path
        The log file. It is in a folder of the user's own in the temporary folder if the user's state folder cannot be
        written, and the null device if there is no such place either.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for handler in list(root.handlers):
        if getattr(handler, "im2hands", False):
            root.removeHandler(handler)
            handler.close()
    file_handler, path = _file_handler()
    handlers: list[logging.Handler] = [file_handler]
    if stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.im2hands = True  # type: ignore[attr-defined]
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
    return path


def _file_handler() -> tuple[logging.Handler, Path]:
    """Return the handler of the log file and the file's path, in the first folder that can be written."""
    places: tuple[Callable[[], Path], ...] = (_made_state_folder, own_temporary_folder)
    for place in places:
        try:
            path = place() / LOG_NAME
            return _LogFile(path), path
        except (OSError, RuntimeError, ValueError):  # RuntimeError: the user has no home folder
            continue
    return logging.NullHandler(), Path(os.devnull)


def _made_state_folder() -> Path:
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_temporary_folder() -> Path:
    """Return a folder in the temporary folder that only this user can write to; it is made if there is none.

    Everybody can write to the temporary folder. A folder or a link that somebody else put there is not used.

    Raises
    ------
    OSError
        There is no temporary folder that can be written.
    """
    folder = Path(tempfile.gettempdir()) / f"im2hands-{getattr(os, 'getuid', lambda: 'user')()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        own = sys.platform == "win32" or (found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077)
        if not (stat.S_ISDIR(found.st_mode) and own):
            return Path(tempfile.mkdtemp(prefix="im2hands-"))
    return folder


def open_appending(path: str | os.PathLike[str]) -> int:
    """Open a log file at its end and return the descriptor. A link is not followed, and only the user can read it.

    Raises
    ------
    OSError
        The file cannot be written, or it is a link or no file.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(f"{path} is not a regular file")


class _LogFile(RotatingFileHandler):
    """A rotating log file that follows no link."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> io.TextIOWrapper:
        return os.fdopen(open_appending(self.baseFilename), "a", encoding=self.encoding, errors=self.errors)
