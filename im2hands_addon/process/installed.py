"""The add-on's own environments: folders with a number, and a file that names the one in use.

An environment cannot be moved, because its scripts hold its path, and Windows renames no folder whose Python runs. So a
new one is made beside the old one, and one small file is replaced once the new one works. For the base ``backend``::

    backend-current     the name of the environment in use
    backend-2           that environment
    backend             an environment of a version that kept one alone; in use as long as the file names no other
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

# Written into an environment when its installation has come to a good end.
COMPLETE = "im2hands-installed"
_POINTER = "-current"


def current(base: Path) -> Path | None:
    """The environment in use.

    Parameters
    ----------
    base : Path
        The path that the environments' names begin with; it need not exist.

    Returns
    -------
    Path or None
        The folder of the environment; None when no installation has come to a good end.
    """
    folders = [base.with_name(name) for name in (_named(base), base.name) if name]
    return next((folder for folder in folders if (folder / COMPLETE).is_file()), None)


def next_folder(base: Path) -> Path:
    """A folder for a new environment, with a number above all that are there.

    Parameters
    ----------
    base : Path
        As for :func:`current`.

    Returns
    -------
    Path
        The folder; it does not exist.
    """
    numbers = [int(folder.name.rpartition("-")[2]) for folder in _numbered(base)]
    return base.with_name(f"{base.name}-{max(numbers, default=0) + 1}")


def make_current(base: Path, folder: Path, package: str) -> None:
    """Mark an environment as complete and put it in use; until then the one before it is.

    Parameters
    ----------
    base : Path
        As for :func:`current`.
    folder : Path
        The environment, from :func:`next_folder`.
    package : str
        What was installed, for a person who looks.

    Raises
    ------
    OSError
        The files cannot be written; the environment before it stays in use.
    """
    (folder / COMPLETE).write_text(package, encoding="utf-8")
    pointer = _pointer(base)
    draft = pointer.with_name(pointer.name + ".new")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(folder.name)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(pointer)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def remove(folder: Path) -> None:
    """Delete an environment as far as it can be deleted; what is left of it counts as not installed.

    Parameters
    ----------
    folder : Path
        The environment; it need not exist.
    """
    # Its mark goes first, because under Windows a running Python keeps its own files. What stays is deleted by the
    # next installation, so that a failure here is nothing a person has to act on.
    with contextlib.suppress(OSError):
        (folder / COMPLETE).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(base: Path) -> None:
    """Delete what killed installations and incomplete deletions left.

    Parameters
    ----------
    base : Path
        As for :func:`current`.
    """
    for folder in (base, *_numbered(base)):
        if not (folder / COMPLETE).is_file():
            remove(folder)


def remove_others(base: Path, kept: Path) -> None:
    """Delete every environment but one.

    Parameters
    ----------
    base : Path
        As for :func:`current`.
    kept : Path
        The environment that stays.
    """
    for folder in (base, *_numbered(base)):
        if folder != kept:
            remove(folder)


def _pointer(base: Path) -> Path:
    return base.with_name(base.name + _POINTER)


def _numbered(base: Path) -> list[Path]:
    """The environments with a number that are there, finished or not."""
    pattern = re.compile(re.escape(base.name) + r"-\d+")
    return sorted(folder for folder in base.parent.glob("*") if pattern.fullmatch(folder.name))


def _named(base: Path) -> str:
    """The name in the pointer file; "" when there is none or it is not the name of such an environment."""
    try:
        name = _pointer(base).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return name if re.fullmatch(re.escape(base.name) + r"-\d+", name) else ""
