"""What a take says of a run, and of a frame before it is decoded: sources, settings, programs and devices."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.media.source import Entry, Source


def take_header(
    source: Source, camera: Camera, settings: dict[str, Any], programs: dict[str, Any], device: str
) -> dict[str, Any]:
    """Return the header of a take.

    Parameters
    ----------
    source : Source
        The source.
    camera : Camera
        Camera of the first picture.
    settings : dict
        Options that influence the result.
    programs : dict
        Versions of the programs, and the networks.
    device : str
        The device of the networks.

    Returns
    -------
    dict
        Plain JSON types.

    Raises
    ------
    InputError
        SOURCE_DATE_EPOCH is not a number of seconds that a date can have.
    """
    return {
        "source": {
            "kind": source.kind,
            "inputs": [str(path) for path in source.inputs],
            "files": list(dict.fromkeys(str(entry.path) for entry in source.entries)),
            "first": source.entries[0].index,
            "step": source.step,
            "sequence": source.kind == "video" or source.numbered,
            **(source.clip.facts() if source.clip else {}),
        },
        "fps": source.fps,
        "image_size": [camera.width, camera.height],
        "camera": camera.to_dict(),
        "settings": settings,
        "provenance": {**programs, "device": device, "date": _date()},
    }


def entry_extra(source: Source, entry: Entry) -> dict[str, Any]:
    """Return the optional fields of a frame's record that are known before it is decoded.

    Parameters
    ----------
    source : Source
        The source.
    entry : Entry
        The frame.

    Returns
    -------
    dict
        ``time`` in seconds, and for pictures ``image``, the path.
    """
    extra: dict[str, Any] = {"time": round(entry.time, 6)}
    if source.kind == "images":
        extra["image"] = str(entry.path)
    return extra


def _date() -> str:
    """Return the current time, or the time in SOURCE_DATE_EPOCH, as reproducible builds set it.

    Raises
    ------
    InputError
        SOURCE_DATE_EPOCH is not a number of seconds that a date can have.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(
            f"The environment variable SOURCE_DATE_EPOCH is {epoch[:40]!r}, which is no date.",
            "Give seconds since 1970, or leave it unset.",
        ) from error
    return moment.isoformat(timespec="seconds")
