"""Detection of frames that follow each other in time, and the numbers of a numbered sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LAST_INDEX = 1_048_574  # last frame number of Blender; larger numbers in file names are dates or identifiers

_NUMBERED = re.compile(r"^(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\D*)$")


def sequence_numbers(files: Sequence[Path]) -> dict[Path, int] | None:
    """Return the numbers of the pictures of a numbered sequence.

    A numbered sequence is at least two files of one folder whose names differ in their last number only.

    Parameters
    ----------
    files : sequence of Path
        Paths of pictures.

    Returns
    -------
    dict of Path to int, or None
        Number of each file; None if the files are not a numbered sequence.
    """
    matches = [(file, _NUMBERED.match(file.name)) for file in files]
    found = {(file.parent, m["prefix"], m["suffix"]) for file, m in matches if m}
    numbers = {file: int(m["number"]) for file, m in matches if m}
    usable = len(files) > 1 and len(numbers) == len(files) and len(found) == 1
    if not usable or len(set(numbers.values())) != len(files) or max(numbers.values()) > LAST_INDEX:
        return None
    return numbers


def follow_each_other(kind: str, files: Sequence[Path]) -> bool:
    """Return whether frames are moments of one recording, and not unrelated photos.

    Parameters
    ----------
    kind : str
        Kind of the source, "images" or "video".
    files : sequence of Path
        Pictures of the frames; ignored for a video.

    Returns
    -------
    bool
        True for a video and for a numbered sequence.
    """
    return kind == "video" or sequence_numbers(files) is not None
