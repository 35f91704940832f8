"""Checks of the fields of ``take.json`` that are not records: a damaged take is refused when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arrays import LIMITS


def check_header(header: Mapping[str, Any]) -> None:
    """Check the types and limits of the header of a take.

    Parameters
    ----------
    header : mapping
        ``take.json`` without its records, as parsed.

    Raises
    ------
    ValueError
        A field has the wrong type, or a number is beyond its limits. Fields may be missing.
    """
    for name in ("source", "settings", "provenance", "clean"):
        if not isinstance(header.get(name) or {}, dict):
            raise ValueError(f"{name} is no object")
    source, clean = header.get("source") or {}, header.get("clean") or {}
    for name in ("inputs", "files"):
        files = source.get(name) or []
        if not isinstance(files, list) or not all(isinstance(path, str) for path in files):
            raise ValueError(f"{name} of source is no list of paths")
    for name in ("first", "step"):
        value = source.get(name, 1)
        if type(value) is not int or not 0 <= value <= LIMITS["last_frame"]:
            raise ValueError(f"{name} of source is {value!r}")
    hands = clean.get("hands") or []
    if not isinstance(hands, list) or not isinstance(clean.get("settings") or {}, dict):
        raise ValueError("clean has fields of the wrong type")
    fps = header.get("fps")
    if fps is not None and (not _is_number(fps) or not 0 < fps < LIMITS["fps"]):
        raise ValueError(f"fps is {fps!r}")
    if header.get("image_size") is not None:
        check_picture_size(header["image_size"])
    if header.get("camera", {}) != {}:
        check_camera(header["camera"])


def check_camera(camera: Any) -> None:
    """Check a camera as ``take.json`` has it.

    Parameters
    ----------
    camera : Any
        The parsed entry.

    Raises
    ------
    ValueError
        It is no camera, or a number is beyond its limits.
    """
    if not isinstance(camera, dict):
        raise ValueError("camera is no object")
    for name in ("fx", "fy", "cx", "cy"):
        value: Any = camera.get(name)
        if not _is_number(value) or abs(value) > LIMITS["pixels"] or (name in ("fx", "fy") and value <= 0):
            raise ValueError(f"{name} of the camera is {value!r}")
    check_picture_size([camera.get("width"), camera.get("height")])


def check_picture_size(size: Any) -> None:
    """Check width and height of a picture.

    Parameters
    ----------
    size : Any
        The parsed entry, ``[width, height]``.

    Raises
    ------
    ValueError
        They are not two whole numbers between 1 and the limit.
    """
    if (
        not isinstance(size, list)
        or len(size) != 2
        or not all(type(side) is int and 0 < side <= LIMITS["picture_side"] for side in size)
    ):
        raise ValueError(f"the picture size is {size!r}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
