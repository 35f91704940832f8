"""The rule that keeps every path of a take inside its folder (no bpy)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from ..errors import TakeError

# Backslashes separate folders on Windows, a colon ends a drive or begins a stream, and no name has control characters.
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f]")
# Windows opens a device under these names in every folder, with any ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_LONGEST = 255  # bytes; the longest name that all file systems hold


def is_plain(name: object) -> bool:
    """Whether a path names a place inside a folder, and the same place on every operating system.

    Parameters
    ----------
    name
        Of a file, as a take has it. Its parts are separated by ``/``, as in ``frames/000012.npz``.

    Returns
    -------
    bool
        False for everything that is no string, and for absolute paths, drives, shares, backslashes, control
        characters, device names, overlong paths, and parts that are empty or end with a dot or a space (as ``..``).
    """
    if not isinstance(name, str) or _FORBIDDEN.search(name):
        return False
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    # Windows drops dots and spaces at the end of a part: "x/.. /y" is "y" there.
    return size <= _LONGEST and all(
        part and part[-1] not in ". " and not _DEVICE.fullmatch(part) for part in name.split("/")
    )


def check_paths(folder: Path, paths: Iterable[tuple[int | None, object]]) -> None:
    """Refuse paths that lead out of a take, by their words or by symbolic links.

    Parameters
    ----------
    folder
        The take. It may itself be reached by a link.
    paths
        Per path the index of the frame that it belongs to, None for the take's own files, and the path in the take.
        Nothing needs to be there.

    Raises
    ------
    TakeError
        A path is not plain (see :func:`is_plain`), or it resolves to a place outside the folder.
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
    """The place a path leads to, its folder being resolved already."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):  # no link; resolving every frame of a long take is slow
            return path
    except OSError:
        pass  # absent or unreadable: its name alone is resolved
    return Path(os.path.realpath(path))
