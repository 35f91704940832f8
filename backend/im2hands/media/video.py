"""Reading of a clip frame by frame with OpenCV. Clips are read forwards only, so that frame numbers are exact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError

from .images import MIN_SIDE

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".ogv"}
)

# Headers often round the number of frames. A clip that lacks more frames than this is truncated.
COUNT_TOLERANCE = 2


@dataclass(frozen=True)
class ClipInfo:
    """Header of a clip, and the size of its first frame.

    Parameters
    ----------
    count : int
        Number of frames by the header, which is an estimate in many formats.
    fps : float
        Frames per second; 0.0 if the clip does not give it.
    width : int
        Width of the upright picture, pixels.
    height : int
        Height of the upright picture, pixels.
    varies : bool
        Whether the time between frames varies.
    rotation : int
        Clockwise rotation that makes the stored picture upright, degrees.
    pixel_aspect : float
        Width of a stored pixel divided by its height.
    interlaced : bool
        Whether each stored picture holds two moments in alternating lines.
    times : tuple of float
        Time of each frame, seconds from the first; empty if they are not known.
    length_known : bool
        Whether the header says how long the clip is; recordings of browsers often do not.
    """

    count: int
    fps: float
    width: int
    height: int
    varies: bool = False
    rotation: int = 0
    pixel_aspect: float = 1.0
    interlaced: bool = False
    times: tuple[float, ...] = ()
    length_known: bool = True


def probe_clip(path: Path) -> ClipInfo:
    """Open a clip and read its first frame.

    Parameters
    ----------
    path : Path
        The clip.

    Returns
    -------
    ClipInfo
        Number of frames, frame rate and size.

    Raises
    ------
    InputError
        The clip cannot be opened, has no readable frame, or its pictures are too small.
    """
    import cv2

    capture = _open(path)
    try:
        count, fps = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
        ok, first = capture.read()
        if not ok or first is None:
            raise InputError(f"{path} has no frame that can be read.", "Convert the clip to MP4 (H.264).")
        height, width = first.shape[:2]
        length_known = count > 0
        if not length_known:  # streams and some WebM files do not give a count
            count = 1
            while capture.grab():
                count += 1
    finally:
        capture.release()
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{path} has {width} x {height} pixels, too few to show a hand.",
            f"Give a clip of at least {MIN_SIDE} x {MIN_SIDE} pixels.",
        )
    rate = fps if np.isfinite(fps) and 0.1 <= fps <= 1000 else 0.0
    return ClipInfo(count, rate, width, height, length_known=length_known)


def read_clip(path: Path, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode the wanted frames of a clip.

    Parameters
    ----------
    path : Path
        The clip.
    wanted : iterable of int
        Frame numbers, counted from 1, ascending.

    Yields
    ------
    int
        The frame number.
    (H, W, 3) uint8
        RGB. The iteration ends after the last wanted frame or at the end of the clip.

    Raises
    ------
    InputError
        The clip cannot be opened.
    """
    import cv2

    capture = _open(path)
    position = 0  # frames read so far; seeking would be faster, but it is inexact with many codecs
    try:
        for number in wanted:
            while position < number - 1:
                if not capture.grab():
                    return
                position += 1
            ok, pixels = capture.read()
            if not ok or pixels is None:
                return
            position += 1
            if pixels.ndim == 2:
                pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
            yield number, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _open(path: Path) -> Any:
    import cv2

    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes).", "Copy or export the clip again.")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise InputError(
            f"{path} cannot be opened as a video.",
            "The clip is damaged or of an unknown kind; convert it to MP4 (H.264).",
        )
    return capture
