"""A person's corrections of a take, kept in the .blend until they are sent to the backend (and in the undo history).

The collection of the take holds two documents: the edits as the person has them now, and those of the take's
``edits.json`` when it was last read. What differs between them has not been sent yet.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from ..errors import InputError
from ..take.edits import NO_FILE, frames_of, read_edits
from ..take.reader import KEYPOINT_NAMES, Record, Take, read_take
from . import conform
from .ownership import TAKE, require_local

_NOW, _ON_DISK, _FILE = "im2hands_edits", "im2hands_edits_on_disk", "im2hands_edits_file"
_LEAST_SHIFT = 1e-4  # metres; less is rounding

Edit = dict[str, Any]


@dataclass(frozen=True)
class Corrections:
    """The edits of a take in the .blend.

    Parameters
    ----------
    edits : list of dict
        The edits as the person has them, in their order.
    on_disk : list of dict
        The edits of the take when it was last read.
    file : str
        The sha256 of its file then; ``take.edits.NO_FILE`` without one.
    """

    edits: list[Edit]
    on_disk: list[Edit]
    file: str

    @property
    def unsent(self) -> set[str]:
        """Ids of edits that the take on disk does not have, and of those that only it has."""
        now, there = ({one["id"]: one for one in edits} for edits in (self.edits, self.on_disk))
        return {name for name in now.keys() | there.keys() if now.get(name) != there.get(name)}


def read(collection: bpy.types.Collection) -> Corrections:
    """Return the corrections of a take in this file.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    """
    parts = (json.loads(collection.get(name, "[]")) for name in (_NOW, _ON_DISK))
    return Corrections(*parts, str(collection.get(_FILE, NO_FILE)))


def update(collection: bpy.types.Collection, folder: Path) -> None:
    """Read the corrections that the take has on disk; those of the person that were not sent yet stay.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    folder : Path
        The take's folder.

    Raises
    ------
    TakeError
        The file of the take cannot be read.
    """
    there, file = read_edits(folder)
    had = read(collection)
    taken_back = {one["id"] for one in had.on_disk} - {one["id"] for one in had.edits}
    names = {one["id"] for one in (*there, *had.on_disk)}
    own = [one for one in had.edits if one["id"] not in names]
    kept = [one for one in there if one["id"] not in taken_back]
    _write(collection, [*kept, *own], there, file)


def add(collection: bpy.types.Collection, edit: Edit) -> str:
    """Add an edit, which is sent with the next rebuild.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    edit : dict
        The edit as ``docs/take.md`` describes it, without an id.

    Returns
    -------
    str
        Its id.

    Raises
    ------
    InputError
        The take is linked from another file.
    """
    require_local(collection)
    name = uuid.uuid4().hex[:8]
    had = read(collection)
    _write(collection, [*had.edits, {"id": name, **edit}], had.on_disk, had.file)
    return name


def remove(collection: bpy.types.Collection, name: str) -> None:
    """Take an edit back; the frame gets back what was found with the next rebuild.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    name : str
        Id of the edit.

    Raises
    ------
    InputError
        There is no such edit, or the take is linked from another file.
    """
    require_local(collection)
    had = read(collection)
    if name not in {one["id"] for one in had.edits}:
        raise InputError(f"{collection.name} has no correction {name}.")
    _write(collection, [one for one in had.edits if one["id"] != name], had.on_disk, had.file)


def frame_in_view(collection: bpy.types.Collection, scene: bpy.types.Scene) -> int:
    """Return the frame of a take that the scene's current frame shows."""
    return conform.to_take(collection, scene.frame_current_final)


def record_of(collection: bpy.types.Collection, frame: int) -> tuple[Take, Record]:
    """Return a take and its record of a frame.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        The frame.

    Raises
    ------
    InputError
        The take has no such frame.
    TakeError
        The take cannot be read.
    """
    take = read_take(str(collection[TAKE]))
    if frame not in take.records:
        raise InputError(f"{collection.name} has no frame {frame}.", "Go to a frame of the take.")
    return take, take.records[frame]


def require_frames(collection: bpy.types.Collection, first: int, last: int) -> None:
    """Require that a take has a frame of a range.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    first, last : int
        First and last frame.

    Raises
    ------
    InputError
        The take has no such frame.
    TakeError
        The take cannot be read.
    """
    if not any(first <= frame <= last for frame in read_take(str(collection[TAKE])).records):
        where = f"frame {first}" if first == last else f"frames {first} to {last}"
        raise InputError(f"{collection.name} has no {where}.", "Go to a frame of the take.")


def require_two_hands(collection: bpy.types.Collection, first: int, last: int) -> None:
    """Require that a take has a frame with both hands in a range.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    first, last : int
        First and last frame.

    Raises
    ------
    InputError
        There is no such frame.
    TakeError
        The take cannot be read.
    """
    require_frames(collection, first, last)
    records = read_take(str(collection[TAKE])).records
    if not any(first <= frame <= last and len(record.confidence) == 2 for frame, record in records.items()):
        where = f"frame {first}" if first == last else f"frames {first} to {last}"
        raise InputError(f"{collection.name} has no two hands on {where}.", "Go to a frame with both hands.")


def on_disk_pixels(take: Take, record: Record, pixels: np.ndarray) -> np.ndarray:
    """Convert pixels (..., 2) of the picture that the hands belong to into those of the picture on disk."""
    if not take.settings.get("mirrored"):
        return pixels
    turned = pixels.copy()
    turned[..., 0] = record.camera.width - 1 - pixels[..., 0]
    return turned


def add_moved_points(
    collection: bpy.types.Collection, frame: int, side: str, before: np.ndarray, after: np.ndarray,
    moved: Sequence[int],
) -> str:  # fmt: skip
    """Add an edit of keypoints that were moved in space: their pixels, and their shift in depth.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frame : int
        The frame.
    side : str
        "left" or "right".
    before, after : (21, 3) float64
        The keypoints as the take has them and as the person has put them; camera frame, metres.
    moved : sequence of int
        Numbers of the moved keypoints; not empty.

    Returns
    -------
    str
        Id of the edit.

    Raises
    ------
    InputError
        A keypoint was moved behind the camera, or the take is linked from another file.
    TakeError
        The take cannot be read.
    """
    take, record = record_of(collection, frame)
    if after[list(moved), 2].min() <= 0:
        raise InputError("A keypoint was moved behind the camera.", "Move it in the view through the camera.")
    lens = record.camera
    pixels = after[:, :2] / after[:, 2:] * (lens.fx, lens.fy) + (lens.cx, lens.cy)
    pixels = on_disk_pixels(take, record, pixels)
    earlier = _shifts(read(collection).edits, frame, side)
    points: dict[str, list[float]] = {}
    for number in moved:
        name = KEYPOINT_NAMES[number]
        shift = float(after[number, 2] - before[number, 2])
        shift = earlier.get(name, 0.0) + (shift if abs(shift) > _LEAST_SHIFT else 0.0)
        place = [round(float(value), 3) for value in pixels[number]]
        points[name] = [*place, round(shift, 5)] if shift else place
    return add(collection, {"kind": "keypoints", "frame": frame, "side": side, "points": points})


def _shifts(edits: Sequence[Edit], frame: int, side: str) -> Mapping[str, float]:
    """The shifts in depth that earlier edits give the keypoints of a hand."""
    found: dict[str, float] = {}
    for one in edits:
        if one["kind"] == "keypoints" and frames_of(one)[0] == frame and one["side"] == side:
            found |= {name: place[2] if len(place) > 2 else 0.0 for name, place in one["points"].items()}
    return found


def described(edit: Edit) -> str:
    """Return an edit in a few words, for a list."""
    first, last = frames_of(edit)
    where = f"{first}" if first == last else f"{first}-{last}"
    side = edit.get("side", "")
    if edit["kind"] == "keypoints":
        points = list(edit["points"])
        what = points[0].replace("_", " ") if len(points) == 1 else f"{len(points)} keypoints"
        return f"{where}: {side} {what}"
    words = {"box": f"{side} box", "absent": f"no {side} hand", "swap": "sides swapped", "pin": f"{side} pinned"}
    words["apart"] = "penetration resolved"
    return f"{where}: {words[edit['kind']]}"


def _write(collection: bpy.types.Collection, edits: list[Edit], on_disk: list[Edit], file: str) -> None:
    collection[_NOW], collection[_ON_DISK] = (json.dumps(one, ensure_ascii=False) for one in (edits, on_disk))
    collection[_FILE] = file
