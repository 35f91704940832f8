"""Reads the EXIF orientation of a JPEG photo, which Blender does not apply (no bpy).

Source: EXIF 2.3, tag 0x0112; JPEG marker APP1.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

_ORIENTATION_TAG = 0x0112
_SEARCHED_BYTES = 256 * 1024  # the EXIF segment is at most 64 KB and near the start of the file


class Turn(NamedTuple):
    """The operation that makes a stored picture upright: mirror it, then rotate it.

    Parameters
    ----------
    mirror : bool
        Whether to mirror the picture left to right, before the rotation.
    quarters : int
        Clockwise rotation in quarter turns, 0 to 3.
    """

    mirror: bool = False
    quarters: int = 0


_TURNS = {
    1: Turn(), 2: Turn(True, 0), 3: Turn(False, 2), 4: Turn(True, 2),
    5: Turn(True, 3), 6: Turn(False, 1), 7: Turn(True, 1), 8: Turn(False, 3),
}  # fmt: skip


def read_turn(path: str | Path) -> Turn:
    """Read how a photo must be turned.

    Parameters
    ----------
    path : str or Path
        The photo.

    Returns
    -------
    Turn
        The operation that makes the photo upright. It does nothing for a file that cannot be read, is not a JPEG, or
        has no orientation.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read(_SEARCHED_BYTES)
    except OSError:
        return Turn()
    return _TURNS.get(_orientation(data), Turn())


def _orientation(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, in the bytes of a JPEG; 1 when there is none."""
    if data[:2] != b"\xff\xd8":
        return 1
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if data[position + 1] == 0xE1 and body.startswith(b"Exif\0\0"):
            return _tiff_orientation(body[6:])
        position += 2 + length
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    """The EXIF orientation, 1 to 8, in the TIFF data of the EXIF segment; 1 when there is none."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    start = struct.unpack(f"{order}I", tiff[4:8])[0]
    count_bytes = tiff[start : start + 2]
    if len(count_bytes) < 2:
        return 1
    for number in range(struct.unpack(f"{order}H", count_bytes)[0]):
        entry = tiff[start + 2 + 12 * number : start + 14 + 12 * number]
        if len(entry) == 12 and struct.unpack(f"{order}H", entry[:2])[0] == _ORIENTATION_TAG:
            return struct.unpack(f"{order}H", entry[8:10])[0]
    return 1
