"""Whether pictures are a numbered sequence, whose frames follow each other in time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LAST_INDEX = 1_048_574  # Blender's last frame; larger numbers in file names are dates or identifiers

_NUMBERED = re.compile(r"^(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\D*)$")


def sequence_numbers(files: Sequence[Path]) -> dict[Path, int] | None:
    """The numbers of the pictures of a numbered sequence.

    A numbered sequence is at least two files of one folder whose names differ in their last number only.

    Parameters
    ----------
    files
        Paths of pictures.

    Returns
    -------
    dict or None
        The number of each file; None if the files are no numbered sequence.
    """
    matches = [(file, _NUMBERED.match(file.name)) for file in files]
    found = {(file.parent, m["prefix"], m["suffix"]) for file, m in matches if m}
    numbers = {file: int(m["number"]) for file, m in matches if m}
    usable = len(files) > 1 and len(numbers) == len(files) and len(found) == 1
    if not usable or len(set(numbers.values())) != len(files) or max(numbers.values()) > LAST_INDEX:
        return None
    return numbers


def follow_each_other(kind: str, files: Sequence[Path]) -> bool:
    """Whether frames are moments of one recording, and not unrelated photos.

    Parameters
    ----------
    kind
        Of the source, "images" or "video".
    files
        The pictures of the frames; not looked at for a video.

    Returns
    -------
    bool
        True for a video and for a numbered sequence.
    """
    return kind == "video" or sequence_numbers(files) is not None
