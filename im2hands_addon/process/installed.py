"""The add-on's own environments: numbered folders, and a file that names the environment in use.

An environment cannot be moved: its scripts contain its path, and Windows cannot rename a folder whose Python is
running. So a new environment is made beside the old one. When it works, one small file is replaced. With the base path
``.../backend`` the files are::

    backend-current     the name of the environment in use
    backend-2           that environment
    backend             the only environment of older add-ons; in use until backend-current names another one
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

# A file in an environment that shows that its installation was completed.
COMPLETE = "im2hands-installed"
_POINTER = "-current"


def current(base: Path) -> Path | None:
    """Return the environment in use.

    Parameters
    ----------
    base : Path
        The path with which the names of the environments begin; it need not exist.

    Returns
    -------
    Path or None
        The folder of the environment; None when no installation was completed.
    """
    folders = [base.with_name(name) for name in (_named(base), base.name) if name]
    return next((folder for folder in folders if (folder / COMPLETE).is_file()), None)


def next_folder(base: Path) -> Path:
    """Return the folder for a new environment; its number is above all existing ones.

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
    """Mark an environment as complete and put it in use instead of the one before it.

    Parameters
    ----------
    base : Path
        As for :func:`current`.
    folder : Path
        The environment, from :func:`next_folder`.
    package : str
        What was installed. It is written into the file that marks the environment as complete.

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
    """Delete an environment as far as possible; a rest that cannot be deleted counts as not installed.

    Parameters
    ----------
    folder : Path
        The environment; it need not exist.
    """
    # The mark of completion goes first, because Windows does not delete the files of a running Python. The next
    # installation deletes the rest, so a failure here needs no action by the person.
    with contextlib.suppress(OSError):
        (folder / COMPLETE).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(base: Path) -> None:
    """Delete the remains of interrupted installations and deletions.

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
    """The numbered environments that exist, complete or not."""
    pattern = re.compile(re.escape(base.name) + r"-\d+")
    return sorted(folder for folder in base.parent.glob("*") if pattern.fullmatch(folder.name))


def _named(base: Path) -> str:
    """The name in the file ``-current``; "" when there is no file or it does not hold the name of an environment."""
    try:
        name = _pointer(base).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return name if re.fullmatch(re.escape(base.name) + r"-\d+", name) else ""
