"""The rule that keeps every path of a take inside its folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from im2hands.core.errors import UnsafePathError

# On Windows a backslash separates folders, and a colon ends a drive or begins a stream. Control characters are invalid.
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f]")
# Device names of Windows, which are valid in every folder and with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_LONGEST = 255  # bytes; the longest name that all file systems support


def is_plain(name: object) -> bool:
    """Return whether a path names a place inside a folder, and the same place on every operating system.

    Parameters
    ----------
    name : object
        Path of a file as a take stores it, with ``/`` between its parts, for example ``frames/000012.npz``.

    Returns
    -------
    bool
        False for anything that is not a string, and for absolute paths, drives, shares, backslashes, control
        characters, device names, overlong paths, and parts that are empty or end with a dot or a space (such as
        ``..``).
    """
    if not isinstance(name, str) or _FORBIDDEN.search(name):
        return False
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    # Windows ignores dots and spaces at the end of a part: "x/.. /y" is "y" there.
    return size <= _LONGEST and all(
        part and part[-1] not in ". " and not _DEVICE.fullmatch(part) for part in name.split("/")
    )


def check_paths(folder: Path, paths: Iterable[tuple[int | None, object]]) -> None:
    """Refuse paths that lead out of a take, by their text or through symbolic links.

    Parameters
    ----------
    folder : Path
        Folder of the take. A link to it is allowed.
    paths : iterable of (int or None, object)
        Frame index and path of each file. The index is None for the take's own files. The files need not exist.

    Raises
    ------
    UnsafePathError
        A path is not plain (see :func:`is_plain`), or it resolves to a place outside the folder.
    """
    root = Path(os.path.realpath(folder))
    parents: dict[str, Path] = {}
    for frame, name in paths:
        owner = f"The take {folder}" if frame is None else f"Frame {frame} of the take {folder}"
        if not isinstance(name, str) or not is_plain(name):
            raise UnsafePathError(
                f"{owner} has the path {name!r}, which is not a plain path inside the take.",
                "Im2Hands does not write such a path. Reconstruct the take again, in another folder.",
            )
        parent, _, last = name.rpartition("/")
        if parent not in parents:
            parents[parent] = Path(os.path.realpath(root / parent))
        target = _resolved(parents[parent] / last)
        if not target.is_relative_to(root):
            raise UnsafePathError(
                f"{owner} has the path {name!r}, which is a link out of the take, to {target}.",
                "Replace the link by the files themselves.",
            )


def _resolved(path: Path) -> Path:
    """Resolve symbolic links of a path whose folder is already resolved."""
    try:
        if stat.S_ISREG(path.lstat().st_mode):  # a regular file is not a link; resolving every frame of a take is slow
            return path
    except OSError:
        pass  # missing or unreadable: only its name can be resolved
    return Path(os.path.realpath(path))
