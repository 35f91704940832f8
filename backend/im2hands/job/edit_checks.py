"""Requires that a person's corrections are for frames that are there, and places on their pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np

from im2hands.core.errors import FrameError, InputError
from im2hands.media.camera_choice import CameraChoice
from im2hands.media.source import Source
from im2hands.take.edits import Edits

_MARGIN = 0.5
"""How far beyond the picture a keypoint may lie, share of the picture's longer side: a hand may be cut by its edge."""


def require_frames(edits: Edits, known: Iterable[int], part: bool) -> None:
    """Require that the frames of all edits exist.

    Parameters
    ----------
    edits : Edits
        The edits.
    known : iterable of int
        Frames of the source and of the take.
    part : bool
        Whether only some frames of the source are known: then edits of others are for other runs.

    Raises
    ------
    InputError
        An edit is for a frame that is not there.
    """
    frames = sorted(set(known))
    for edit in edits:
        place = int(np.searchsorted(frames, edit.first))
        if (place < len(frames) and frames[place] <= edit.last) or part:
            continue
        at = f"frame {edit.first}" if edit.first == edit.last else f"frames {edit.first} to {edit.last}"
        is_there = "is" if edit.first == edit.last else "are"
        raise InputError(
            f"{edit.words} is for {at}, which {is_there} not there.",
            f"There are frames {frames[0]} to {frames[-1]}." if frames else "The take has no frames.",
        )


def require_places(edits: Edits, index: int, size: tuple[int, int]) -> None:
    """Require that what a person drew on a frame lies in its picture or, of a keypoint, near it.

    Parameters
    ----------
    edits : Edits
        The edits.
    index : int
        Number of the frame.
    size : (int, int)
        Width and height of its picture, pixels.

    Raises
    ------
    InputError
        A place is beyond the picture.
    """
    width, height = size
    margin = _MARGIN * max(size)
    at, hint = f"beyond the picture of frame {index}", f"The picture has {width} x {height} pixels."
    for edit in edits.of_frame(index):
        for x, y, _ in edit.points.values():
            if not (-margin <= x <= width + margin and -margin <= y <= height + margin):
                raise InputError(f"{edit.words} puts a keypoint at {x:g}, {y:g}, {at}.", hint)
        if edit.box and not (edit.box[0] < width and edit.box[1] < height and edit.box[2] > 0 and edit.box[3] > 0):
            raise InputError(f"{edit.words} draws a box {at}.", hint)


def check_edits(edits: Edits, source: Source, cameras: CameraChoice, known: Iterable[int], part: bool) -> None:
    """Require that edits are for frames that are there, and places on their pictures.

    Parameters
    ----------
    edits : Edits
        The edits.
    source : Source
        The source.
    cameras : CameraChoice
        Choice of each picture's camera.
    known : iterable of int
        Frames that are there.
    part : bool
        Whether they are only some of the source's frames: then edits of others are for other runs.

    Raises
    ------
    InputError
        An edit is for a frame that is not there, or its place is beyond the picture.
    """
    require_frames(edits, known, part)
    for entry in source.entries:
        if edits.of_frame(entry.index):
            with contextlib.suppress(FrameError):  # a picture that cannot be read is told when its turn comes
                camera = cameras.for_picture(source.probe(entry))
                require_places(edits, entry.index, (camera.width, camera.height))
