"""The focal length in pixels from the EXIF tags of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FULL_FRAME_DIAGONAL_MM = (
    43.2666  # of the 36 x 24 mm frame that "35 mm equivalent" focal lengths refer to (CIPA DCG-001)
)

_FOCAL_MM, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X_RESOLUTION, _PLANE_UNIT, _PIXEL_WIDTH = 0xA20E, 0xA210, 0xA002
_PLANE_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


def focal_px(exif: Mapping[int, Any], width: int, height: int) -> float | None:
    """Compute the focal length from EXIF tags.

    Parameters
    ----------
    exif : mapping of int to object
        EXIF tags.
    width : int
        Width of the picture as stored, pixels.
    height : int
        Height of the picture as stored, pixels.

    Returns
    -------
    float or None
        Focal length, pixels; None if the tags do not give it, or give nonsense.
    """
    candidates = []
    equivalent = _number(exif.get(_FOCAL_35MM))
    if equivalent:
        candidates.append(equivalent / FULL_FRAME_DIAGONAL_MM * math.hypot(width, height))
    focal_mm, resolution = _number(exif.get(_FOCAL_MM)), _number(exif.get(_PLANE_X_RESOLUTION))
    unit_mm = _PLANE_UNIT_MM.get(_int(exif.get(_PLANE_UNIT, 2)))
    if focal_mm and resolution and unit_mm:
        original_width = _number(exif.get(_PIXEL_WIDTH)) or width
        candidates.append(focal_mm * resolution / unit_mm * width / original_width)
    for focal in candidates:
        if 0.2 < focal / max(width, height) < 30.0:  # field of view from 136 to 2 degrees; outside, the tags are wrong
            return focal
    return None


def _number(value: Any) -> float:
    """Convert an EXIF number or rational to float; 0.0 if it is not a positive finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _int(value: Any) -> int:
    return int(_number(value))
