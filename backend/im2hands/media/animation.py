"""GIF, WebP, PNG and AVIF files with several pictures, read as short clips with Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from im2hands.core.errors import FrameError, InputError
from im2hands.core.files import open_regular

from .clip_info import ClipInfo, spacing
from .images import MIN_SIDE, count_pictures, to_rgb8
from .picture_file import ANIMATED_FORMATS, DAMAGE, open_with_pillow, read_head
from .upright import orientation_of, upright, upright_size

# Browsers show pictures whose time is shorter than this, which no screen of the time could show, for 100 ms.
_SHORTEST_MS, _USUAL_MS = 11.0, 100.0

_HEADS = ((0, b"GIF8"), (0, b"\x89PNG\r\n\x1a\n"), (8, b"WEBP"), (4, b"ftypavi"))


def is_animation(path: Path) -> bool:
    """Return whether a file is an animation that Pillow reads.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
        True if the file has several pictures that follow each other; False also if it cannot be read.
    """
    try:
        with open_regular(path) as file:
            return _open(file, path) is not None
    except (OSError, FrameError):
        return False


def probe_animation(path: Path) -> ClipInfo:
    """Read the times of the pictures of an animation. All are decoded, because their times stand between them.

    Parameters
    ----------
    path : Path
        The file; :func:`is_animation` is true for it.

    Returns
    -------
    ClipInfo
        Number, times and size of the pictures.

    Raises
    ------
    InputError
        The file cannot be read, or its pictures are too small.
    """
    try:
        with open_regular(path) as file:
            image = _open(file, path)
            if image is None:
                raise InputError(f"{path} is no animation that can be read.", "Convert it to MP4 (H.264).")
            orientation = orientation_of(image.getexif())
            width, height = upright_size(image.width, image.height, orientation)
            lengths = list(_lengths(image))
    except (OSError, FrameError) as error:
        words = error.message if isinstance(error, FrameError) else f"Cannot read {path}: {error.strerror or error}."
        raise InputError(words, "Copy or export the animation again.") from error
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{path} has {width} x {height} pixels, too few to show a hand.",
            f"Give an animation of at least {MIN_SIDE} x {MIN_SIDE} pixels.",
        )
    times = tuple(accumulate((length / 1000 for length in lengths[:-1]), initial=0.0))
    fps, varies = spacing(times, [])
    return ClipInfo(len(times), fps, width, height, varies, orientation, times=times)


def read_animation(path: Path, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray | FrameError]]:
    """Decode the wanted pictures of an animation.

    Parameters
    ----------
    path : Path
        The file.
    wanted : iterable of int
        Numbers of pictures, counted from 1, ascending.

    Yields
    ------
    int
        The number.
    (H, W, 3) uint8 or FrameError
        RGB, or the reason why the picture cannot be decoded.

    Raises
    ------
    InputError
        The file cannot be opened.
    """
    try:
        with open_regular(path) as file:
            image = _open(file, path)
            if image is None:
                raise InputError(f"{path} is no animation that can be read.", "Convert it to MP4 (H.264).")
            orientation, first = orientation_of(image.getexif()), _first(image)
            for number in wanted:
                try:
                    image.seek(first + number - 1)
                    yield number, upright(to_rgb8(image), orientation)
                except DAMAGE as error:
                    yield number, _broken(path, number, error)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.", "Check the path.") from error


def _open(file: BinaryIO, path: Path) -> Any:
    """Open an animation; None if the file is something else."""
    head = read_head(file)
    if not any(head[start:].startswith(words) for start, words in _HEADS):
        return None
    image = open_with_pillow(file, path)
    several = image is not None and image.format in ANIMATED_FORMATS and count_pictures(image) > 1
    return image if several else None


def _first(image: Any) -> int:
    """Return the number of the first picture that is shown: some PNG files begin with one for old programs."""
    return 1 if getattr(image, "default_image", False) else 0


def _lengths(image: Any) -> Iterator[float]:
    """Give how long each picture is shown, milliseconds; of a damaged picture the usual time."""
    for number in range(_first(image), count_pictures(image)):
        try:
            image.seek(number)
            image.load()  # WebP tells the time only then
            length = float(image.info.get("duration", 0.0))
        except DAMAGE:
            length = 0.0
        yield length if length >= _SHORTEST_MS else _USUAL_MS


def _broken(path: Path, number: int, error: Exception) -> FrameError:
    return FrameError(
        f"Frame {number} of {path.name} cannot be decoded: {error}.", "The file is damaged; export the animation again."
    )
