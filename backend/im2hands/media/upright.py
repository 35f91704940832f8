"""Upright pictures with square pixels: orientation of every format in one place, and the size that follows from it."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

EXIF_ORIENTATION = 0x0112

# By EXIF orientation: whether the stored picture is mirrored in x, and the clockwise rotation that follows, degrees.
_STEPS = {
    1: (False, 0), 2: (True, 0), 3: (False, 180), 4: (True, 180),
    5: (True, 270), 6: (False, 90), 7: (True, 90), 8: (False, 270),
}  # fmt: skip

_MATRIX_BYTES = 36  # nine 32-bit integers
_LARGEST_ASPECT = 8.0  # width of a pixel by its height; beyond it, or below its inverse, the file is wrong


def orientation_of(tags: Mapping[int, Any]) -> int:
    """Return the EXIF orientation of a picture.

    Parameters
    ----------
    tags : mapping of int to object
        EXIF or TIFF tags.

    Returns
    -------
    int
        1 to 8; 1 (upright) if the tag is missing or wrong.
    """
    found = tags.get(EXIF_ORIENTATION, 1)
    return int(found) if isinstance(found, int) and found in _STEPS else 1


def orientation_of_matrix(matrix: bytes) -> int:
    """Return the EXIF orientation that equals a display matrix, as MP4 and others store it.

    Parameters
    ----------
    matrix : bytes
        Nine 32-bit integers ``a b u c d v x y w`` in the byte order of this machine. The point (x, y) of the stored
        picture is shown at (a x + c y, b x + d y).

    Returns
    -------
    int
        1 to 8. Angles between are rounded to the nearest right angle; a matrix that shows nothing gives 1.
    """
    if len(matrix) < _MATRIX_BYTES:
        return 1
    a, b, _, c, d, *_ = struct.unpack_from("=9i", matrix)
    found = np.array([a, b, c, d], float)
    length = float(np.linalg.norm(found))
    if length == 0:
        return 1
    return max(_STEPS, key=lambda orientation: float(_shown(orientation) @ found))


def rotation(orientation: int) -> int:
    """Return the clockwise rotation of an EXIF orientation, degrees; a mirrored picture is mirrored in x before it."""
    return _STEPS[orientation][1]


def is_flipped(orientation: int) -> bool:
    """Return whether the stored picture of an EXIF orientation is a mirror image of the upright one."""
    return _STEPS[orientation][0]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Return (width, height) of the upright picture, for a stored picture of ``width`` x ``height``."""
    return (height, width) if rotation(orientation) % 180 else (width, height)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a stored picture upright.

    Parameters
    ----------
    pixels : (H, W, ...) array
        The picture as stored.
    orientation : int
        EXIF orientation, 1 to 8.

    Returns
    -------
    array
        The upright picture, contiguous; ``pixels`` itself if it is upright already.
    """
    flipped, degrees = _STEPS[orientation]
    if not flipped and not degrees:
        return pixels
    if flipped:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, -(degrees // 90)))


def square_size(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """Return the size of a picture after its pixels are made square. No side gets shorter, so that no detail is lost.

    Parameters
    ----------
    width : int
        Stored width, pixels.
    height : int
        Stored height, pixels.
    pixel_aspect : float
        Width of a stored pixel by its height.

    Returns
    -------
    width : int
        Width with square pixels.
    height : int
        Height with square pixels.
    """
    if pixel_aspect > 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def plausible_aspect(value: float) -> float:
    """Return a pixel aspect as a file gives it, or 1.0 if it cannot be true."""
    if not math.isfinite(value) or not 1 / _LARGEST_ASPECT <= value <= _LARGEST_ASPECT:
        return 1.0
    return value


def _shown(orientation: int) -> np.ndarray:
    """Return (a, b, c, d) of the display matrix that equals an EXIF orientation."""
    flipped, degrees = _STEPS[orientation]
    cosine, sine = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    a, b, c, d = cosine, sine, -sine, cosine  # clockwise, as y points down
    return np.array([-a, -b, c, d] if flipped else [a, b, c, d], float)
