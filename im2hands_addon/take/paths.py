"""Checks that every path in a take stays inside the take's folder (no bpy)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import TakeError

# On Windows a backslash separates folders, and a colon follows a drive or starts a stream. Control characters are not
# allowed in names there.
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f]")
# On Windows these names stand for devices, in every folder and with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_LONGEST = 255  # bytes; the longest name that all file systems accept


def is_plain(name: object) -> bool:
    """Whether a path stays inside a folder and means the same file on every operating system.

    Parameters
    ----------
    name : object
        A path from a take, with ``/`` between its parts, such as ``frames/000012.npz``.

    Returns
    -------
    bool
        False for anything but a string. False for absolute paths, drives, shares, backslashes, control characters,
        device names and paths of more than 255 bytes. False for parts that are empty or end with a dot or a space
        (such as ``..``).
    """
    if not isinstance(name, str) or _FORBIDDEN.search(name):
        return False
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # an unpaired surrogate
        return False
    # Windows removes dots and spaces at the end of a part: "x/.. /y" means "y" there.
    return size <= _LONGEST and all(
        part and part[-1] not in ". " and not _DEVICE.fullmatch(part) for part in name.split("/")
    )


def check_paths(folder: Path, paths: Iterable[tuple[int | None, object]]) -> None:
    """Refuse paths that lead out of a take, by their text or by symbolic links.

    Parameters
    ----------
    folder : Path
        The take's folder. It may itself be a symbolic link.
    paths : iterable of (int or None, object)
        For each path the index of its frame (None for the take's own files) and the path relative to the folder. The
        files need not exist.

    Raises
    ------
    TakeError
        A path is not plain (see :func:`is_plain`), or resolves to a place outside the folder.
    """
    root = Path(os.path.realpath(folder))
    parents: dict[str, Path] = {}
    for frame, name in paths:
        owner = f"The take {folder}" if frame is None else f"Frame {frame} of the take {folder}"
        if not isinstance(name, str) or not is_plain(name):
            raise TakeError(
                f"{owner} has the path {name!r}, which is not a plain path inside the take.",
                "Im2Hands does not write such a path. Reconstruct the take again, in another folder.",
            )
        parent, _, last = name.rpartition("/")
        if parent not in parents:
            parents[parent] = Path(os.path.realpath(root / parent))
        target = _resolved(parents[parent] / last)
        if not target.is_relative_to(root):
            raise TakeError(
                f"{owner} has the path {name!r}, which is a link out of the take, to {target}.",
                "Replace the link by the files themselves.",
            )


def _resolved(path: Path) -> Path:
    """The resolved path of a file whose folder is resolved already."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):  # not a link; resolving every frame of a long take is slow
            return path
    except OSError:
        pass  # missing or unreadable; realpath can still resolve its name
    return Path(os.path.realpath(path))
