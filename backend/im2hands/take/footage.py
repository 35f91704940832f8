"""The copies of pictures in a take (``footage/NNNNNN.jpg``): finding, measuring and deleting them."""

from __future__ import annotations

import re
from pathlib import Path

from im2hands.core.errors import TakeError
from im2hands.core.files import delete_shared

from .record import FOOTAGE_FOLDER

FOOTAGE_ENTRY = "footage"
"""Entry of ``take.json`` that says that there are copies."""

_COPY = re.compile(r"(\d{6}|[1-9]\d{6})\.jpg")


def find_copies(folder: Path) -> dict[int, Path]:
    """Return the copies in a take's folder.

    Parameters
    ----------
    folder : Path
        Folder of the take.

    Returns
    -------
    dict of int to Path
        File of each frame that has a copy, ascending.

    Raises
    ------
    TakeError
        The folder cannot be listed.
    """
    names = sorted(name for name in _names(folder) if _COPY.fullmatch(name))
    found = {int(name.partition(".")[0]): folder / FOOTAGE_FOLDER / name for name in names}
    return dict(sorted(found.items()))


def delete_copies(folder: Path) -> None:
    """Delete the copies in a take's folder. Other files stay.

    Parameters
    ----------
    folder : Path
        Folder of the take.

    Raises
    ------
    TakeError
        A copy cannot be deleted.
    """
    for path in find_copies(folder).values():
        delete_shared(path)


def has_any_file(folder: Path) -> bool:
    """Return whether the folder of the copies has any file, whoever wrote it.

    Parameters
    ----------
    folder : Path
        Folder of the take.

    Returns
    -------
    bool
        True if ``footage`` has something in it.

    Raises
    ------
    TakeError
        The folder cannot be listed.
    """
    return bool(_names(folder))


def size_of_copies(folder: Path) -> int:
    """Return the room that the copies take on the disk.

    Parameters
    ----------
    folder : Path
        Folder of the take.

    Returns
    -------
    int
        Bytes. Copies that share one file (hard links) count once.

    Raises
    ------
    TakeError
        A copy cannot be examined.
    """
    sizes = {}
    try:
        for path in find_copies(folder).values():
            facts = path.stat()
            sizes[facts.st_dev, facts.st_ino] = facts.st_size
    except OSError as error:
        raise _cannot_list(folder, error) from error
    return sum(sizes.values())


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in (folder / FOOTAGE_FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _cannot_list(folder, error) from error


def _cannot_list(folder: Path, error: OSError) -> TakeError:
    return TakeError(
        f"Cannot read {folder / FOOTAGE_FOLDER}: {error.strerror or error}.", "Check the folder's permissions."
    )
