"""Logs: a rotating file in the person's own state folder, and stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_NAME = "im2hands.log"
LOG_BYTES, LOG_FILES = 2 * 2**20, 3

# Chatter of the libraries on stderr; a person who wants it sets these.
QUIET = {
    "GLOG_minloglevel": "2",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "OPENCV_LOG_LEVEL": "ERROR",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


def state_folder() -> Path:
    """Where this person's logs go; not made yet. ``IM2HANDS_STATE`` names another place."""
    own = os.environ.get("IM2HANDS_STATE")
    if own:
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "im2hands"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Logs" / "im2hands"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "im2hands"


def set_up_logging(*, stderr: bool, debug: bool = False) -> Path:
    """Send the program's log to a rotating file, and to stderr if wanted.

    Args:
        stderr: also there. debug: everything, not only what matters.

    Returns:
        The log file; in the temporary folder where the person's own cannot be written.
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


@contextlib.contextmanager
def native_noise_to(path: Path) -> Iterator[None]:
    """Send what native libraries write to file descriptor 2 to a file; Python's ``sys.stderr`` stays where it was.

    Args:
        path: appended to.
    """
    try:
        sys.stderr.flush()
        shown = os.dup(2)
        noise = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except (OSError, ValueError, AttributeError):  # no real stderr (a windowed Python): there is nothing to turn away
        yield
        return
    os.dup2(noise, 2)
    os.close(noise)
    before = sys.stderr
    replaced = before.fileno() == 2 if _has_fileno(before) else False
    if replaced:
        sys.stderr = io.TextIOWrapper(
            os.fdopen(shown, "wb", closefd=False),
            encoding=before.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )
    try:
        yield
    finally:
        if replaced:
            sys.stderr.flush()
            sys.stderr = before
        os.dup2(shown, 2)
        os.close(shown)


def _has_fileno(stream: object) -> bool:
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (OSError, AttributeError, ValueError):
        return False
    return True


def _file_handler() -> tuple[logging.Handler, Path]:
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
