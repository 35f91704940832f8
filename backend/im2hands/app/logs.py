"""Logging to a rotating file in the user's state folder, and to standard error."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
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
        The log file. It is in the temporary folder if the user's state folder cannot be written.
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
    for folder in (state_folder(), Path(tempfile.gettempdir())):
        path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handler = RotatingFileHandler(
                path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="backslashreplace"
            )
        except OSError:
            continue
        return handler, path
    return logging.NullHandler(), Path(os.devnull)
