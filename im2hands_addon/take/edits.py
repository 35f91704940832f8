"""Reads ``edits.json``, a person's corrections of a take (no bpy). The backend checks and writes that file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..errors import TakeError
from .files import read_shared
from .unpacking import JSON_BYTES, parse_json

EDITS_FILE = "edits.json"
FORMAT, VERSION = "im2hands-edits", 1
KINDS = ("keypoints", "box", "absent", "swap", "pin", "apart")
OF_BOTH = ("swap", "apart")
"""Kinds of edits that name no hand."""
NO_FILE = ""
"""What stands for the content of a file that is not there."""


def document(edits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return edits as the content of the file, which is also how a request carries them."""
    return {"format": FORMAT, "version": VERSION, "edits": edits}


def read_edits(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Read the edits of a take.

    Parameters
    ----------
    folder : Path
        The take's folder.

    Returns
    -------
    edits : list of dict
        The edits, in their order; empty without the file.
    content : str
        The sha256 of the file, or ``NO_FILE``.

    Raises
    ------
    TakeError
        The file cannot be read, or is not of a kind that this add-on knows.
    """
    path = folder / EDITS_FILE
    try:
        data = read_shared(path, expected=False, most_bytes=JSON_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return [], NO_FILE
    except OSError as error:
        raise TakeError(f"The corrections {path} cannot be read: {error}.", "Check the folder.") from error
    try:
        content = parse_json(data)
        edits = content["edits"]
        known = content["format"] == FORMAT and content["version"] == VERSION and isinstance(edits, list)
        if not known or not all(_is_edit(one) for one in edits):
            raise ValueError("it has another format")
    except (ValueError, KeyError, TypeError) as error:
        raise TakeError(f"The corrections {path} are damaged: {error}.", "Mend or delete that file.") from error
    return edits, hashlib.sha256(data).hexdigest()


def frames_of(edit: dict[str, Any]) -> tuple[int, int]:
    """Return the first and the last frame of an edit."""
    frames = edit["frames"] if "frames" in edit else [edit["frame"]]
    return frames[0], frames[-1]


def _is_edit(entry: Any) -> bool:
    """Whether an entry has what the add-on shows of it; the backend checks the rest."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or entry.get("kind") not in KINDS:
        return False
    frames = entry["frames"] if "frames" in entry else [entry.get("frame")]
    is_range = isinstance(frames, list) and len(frames) in (1, 2) and all(type(one) is int for one in frames)
    has_side = entry["kind"] in OF_BOTH or entry.get("side") in ("left", "right")
    points = entry.get("points") if entry["kind"] == "keypoints" else {}
    has_points = isinstance(points, dict) and all(isinstance(place, list) for place in points.values())
    return is_range and has_side and has_points
