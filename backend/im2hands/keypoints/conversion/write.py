"""Writing of converted keypoints: the keypoint file and the camera file that ``im2hands reconstruct`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.core.hands import check_keypoints
from im2hands.keypoints.file import KeypointFile

from .hands import Converted
from .sources import SOURCES

_DIGITS = 6  # decimals of a metre: micrometres


def keypoint_content(source: str, made: Converted) -> dict[str, Any]:
    """Make the content of a keypoint file.

    Parameters
    ----------
    source : str
        Name of the source.
    made : Converted
        Its hands.

    Returns
    -------
    dict
        JSON types. It also names the source, what it loses and its terms, which readers pass over.

    Raises
    ------
    InputError
        A hand is no usable hand: a number is not finite, a bone has no length, it lies behind the camera.
    """
    frames: dict[str, dict[str, Any]] = {}
    for hand in made.hands:
        what = f"{hand.side} hand of frame {hand.frame:06d}"
        points = check_keypoints(hand.positions, what)
        if made.space == "camera" and points[:, 2].min() <= 0:
            raise InputError(
                f"The {what} lies behind the camera.",
                'Hands about their own wrist have no place: give --annotations, or "space": "world".',
            )
        frames.setdefault(f"{hand.frame:06d}", {})[hand.side] = np.round(points, _DIGITS).tolist()
    about = SOURCES[source]
    return {
        "order": "file", "unit": "m", "space": made.space, "frames": frames,
        "converted_from": {"source": source, "system": about.title, "loses": about.loses, "terms": about.terms,
                           "notes": list(made.notes)},
    }  # fmt: skip


def write_keypoints(path: Path, content: dict[str, Any]) -> None:
    """Write a keypoint file, after checking that it can be read again.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    KeypointFile.from_dict(content, path.name)
    write_atomically(path, (json.dumps(content) + "\n").encode("utf-8"))


def write_camera(path: Path, camera: Camera) -> None:
    """Write a camera file.

    Raises
    ------
    TakeError
        The file cannot be written.
    """
    content = {key: value for key, value in camera.to_dict().items() if key != "origin"}
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
