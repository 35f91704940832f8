"""A path as a person typed it, checked once for what no file system accepts (no bpy)."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

LONGEST_PATH, LONGEST_NAME = 4095, 255
"""Bytes of a path, and of a name in it, that Linux accepts; other systems accept fewer and say so themselves."""
_SHOWN = 60  # characters of a path that is too long to be shown


def person_path(text: str | os.PathLike[str]) -> Path:
    """Turn a typed path into a Path, with ``~`` replaced by a home folder.

    Parameters
    ----------
    text : str or path
        The path; it need not exist.

    Returns
    -------
    Path
        The path; relative if the text is.

    Raises
    ------
    InputError
        The path has a character that no path can have, is too long, or names the home folder of nobody.
    """
    written = os.fspath(text)
    if "\0" in written:
        raise InputError(f"The path {_short(written)} has a zero character in it.", "Type the path again.")
    try:
        path = Path(written).expanduser()
    except RuntimeError as error:
        raise InputError(f"There is no home folder {_short(written.split('/')[0])}.", "Type the whole path.") from error
    size = len(str(path).encode("utf-8", errors="surrogatepass"))
    longest = max((len(part.encode("utf-8", errors="surrogatepass")) for part in path.parts), default=0)
    if size > LONGEST_PATH or longest > LONGEST_NAME:
        raise InputError(
            f"The path {_short(written)} is too long: it has {size} bytes.",
            f"A path may have {LONGEST_PATH} bytes, and each name in it {LONGEST_NAME}.",
        )
    return path


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
