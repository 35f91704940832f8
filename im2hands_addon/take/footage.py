"""Finds the copies of pictures in a take, which are shown in place of the source (no bpy)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_PATTERN = re.compile(r"(?P<head>(?:[^%/]*/)*[^%/]*)%0(?P<digits>[1-9])d(?P<tail>[^%/]*)")


def pattern_of(entry: Any) -> str:
    """Return the path of the copies inside the take, with ``%06d`` or alike for the frame.

    Parameters
    ----------
    entry : Any
        The entry ``footage`` of ``take.json``.

    Returns
    -------
    str
        ``""`` without copies, or if they are of a kind that this add-on does not know.
    """
    pattern = entry.get("pattern") if isinstance(entry, dict) else None
    return pattern if isinstance(pattern, str) and _PATTERN.fullmatch(pattern) else ""


def find_copies(folder: Path, pattern: str) -> dict[int, str]:
    """Find the copies that are there. A growing take, or one of a job that was stopped, may lack some.

    Parameters
    ----------
    folder : Path
        The take's folder.
    pattern : str
        What :func:`pattern_of` returned.

    Returns
    -------
    dict
        Frame -> path of its copy, ascending. Links are left out, because a copy is never one.
    """
    match = _PATTERN.fullmatch(pattern)
    if match is None:
        return {}
    place = (folder / f"{match['head']}x").parent
    before, digits, after = match["head"].rpartition("/")[2], int(match["digits"]), match["tail"]
    name = re.compile(rf"{re.escape(before)}(\d{{{digits}}}|[1-9]\d{{{digits}}}){re.escape(after)}")
    found = {}
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                number = name.fullmatch(entry.name)
                if number is not None and entry.is_file(follow_symlinks=False):
                    found[int(number[1])] = entry.path
    except OSError:  # there is no such folder; the source is shown
        return {}
    return dict(sorted(found.items()))
