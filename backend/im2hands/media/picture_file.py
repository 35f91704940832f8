"""Opening of picture files with Pillow: a fixed list of formats, sizes judged by the header, no part for the whole."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from im2hands.core.errors import FrameError
from im2hands.core.files import open_regular

LARGEST_SIDE = 32767
"""Largest side of a picture, pixels. OpenCV and MediaPipe end the process at larger ones."""

LARGEST_PIXELS = 250 * 10**6
"""Largest number of pixels of a picture. The largest cameras of phones have 200 million."""

# No other format is tried. Pillow would start Ghostscript for an EPS file, whatever the file's name.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "SUN")

ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
"""Formats whose pictures follow each other in time. The others may hold previews, maps or pages beside the picture."""

# The errors that the readers of Pillow and of pillow-heif raise on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip

RAW_SUFFIXES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
        ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    }
)  # fmt: skip

_HEAD_BYTES = 16
_RAW_HEADS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")  # Fujifilm, Olympus, Panasonic
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF
_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION = 254, 262, 50706
_SENSOR_COLOURS = (32803, 34892)  # values of _PHOTOMETRIC: colour filter array, linear raw
_REDUCED, _MASK = 1, 4  # bits of _SUBFILE_TYPE: a smaller copy of another picture of the file, and its opaque part
_SUB_DIRECTORIES = 330
_WIDTH, _HEIGHT = 256, 257
_MOST_DIRECTORIES = 1000
_PREVIEW = 2  # a picture this many times smaller than another one of its file, on both sides, is a preview


def read_head(file: BinaryIO) -> bytes:
    """Read the first bytes of a file, which tell its format.

    Parameters
    ----------
    file : binary stream
        The file.

    Returns
    -------
    bytes
        At most 16 bytes.
    """
    file.seek(0)
    return file.read(_HEAD_BYTES)


def open_with_pillow(file: BinaryIO, path: Path) -> Any:
    """Open a picture with Pillow without decoding it.

    Parameters
    ----------
    file : binary stream
        The file.
    path : Path
        Its path, for messages.

    Returns
    -------
    PIL.Image.Image or None
        The picture; None if it has none of the formats of :data:`FORMATS`, or its header is damaged.

    Raises
    ------
    FrameError
        The picture is too large, or the file holds only a preview of what a camera's sensor recorded.
    """
    head = read_head(file)
    if path.suffix.lower() in RAW_SUFFIXES or (head.startswith(_TIFF_HEADS) and head[8:10] == b"CR"):
        raise _raw(path)
    if head.startswith(_RAW_HEADS):
        raise _raw(path)
    if head.startswith(_TIFF_HEADS):
        _refuse_preview(*_tiff_directories(file), path)
    for accepts, make in _openers():
        if accepts(head) is not True:
            continue
        file.seek(0)
        try:
            image = make(file, "")
        except DAMAGE:
            continue
        check_size(image.width, image.height, path)
        return image
    return None


def check_size(width: int, height: int, path: Path) -> None:
    """Refuse a picture that is too large, before memory is taken for it.

    Parameters
    ----------
    width : int
        Width by the header, pixels.
    height : int
        Height by the header, pixels.
    path : Path
        The file, for the message.

    Raises
    ------
    FrameError
        A side is longer than :data:`LARGEST_SIDE`, or there are more than :data:`LARGEST_PIXELS` pixels.
    """
    if max(width, height) > LARGEST_SIDE or width * height > LARGEST_PIXELS:
        raise FrameError(
            f"{path} is too large: it has {width} x {height} pixels.",
            f"Scale it to at most {LARGEST_SIDE} pixels a side and {LARGEST_PIXELS // 10**6} megapixels.",
        )


def tiff_tags(file: BinaryIO) -> dict[int, Any]:
    """Read the tags of a TIFF file, also of one that Pillow cannot open as a picture.

    Parameters
    ----------
    file : binary stream
        The file.

    Returns
    -------
    dict
        The tags of its first picture; empty if the file is no TIFF file or is damaged.
    """
    return next(_tiff_chain(file), {})


def count_pages(path: Path) -> int:
    """Count the pages of a TIFF file, of which only the first is read.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    int
        Number of pictures without previews and masks; 0 if the file is no TIFF file or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return sum(not _subfile_type(tags) & (_REDUCED | _MASK) for tags in _tiff_chain(file))
    except OSError:
        return 0


def _tiff_chain(file: BinaryIO, start: int | None = None) -> Iterator[dict[int, Any]]:
    """Give the tags of the pictures of a TIFF file, from its first directory or another one on."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = read_head(file)
    if not head.startswith(_TIFF_HEADS):
        return
    seen: set[int] = set()
    try:
        directory = ImageFileDirectory_v2(head if b"+" in head[:4] else head[:8])  # BigTIFF has a longer head
        place = directory.next if start is None else start
        while place and place not in seen and len(seen) < _MOST_DIRECTORIES:
            seen.add(place)
            file.seek(place)
            directory.load(file)
            place = directory.next
            yield dict(directory)
    except DAMAGE:  # what was read until here tells what it can
        return


def _tiff_directories(file: BinaryIO) -> tuple[dict[int, Any], list[dict[int, Any]]]:
    """Return the tags of the first picture of a TIFF file, and those of all others, also inside others."""
    chain = list(_tiff_chain(file))
    inside: list[dict[int, Any]] = []
    for tags in chain:
        places = tags.get(_SUB_DIRECTORIES, ())
        for place in places if isinstance(places, tuple) else (places,):
            if isinstance(place, int) and len(inside) < _MOST_DIRECTORIES:
                inside += [next(_tiff_chain(file, place), {})]
    return (chain[0] if chain else {}), [*chain[1:], *inside]


def _subfile_type(tags: Mapping[int, Any]) -> int:
    kind = tags.get(_SUBFILE_TYPE, 0)
    return kind if isinstance(kind, int) else 0


@functools.cache
def _openers() -> tuple[tuple[Callable[[bytes], Any], Callable[[BinaryIO, str], Any]], ...]:
    """Return the test and the reader of every allowed format.

    ``Image.open`` is not called: it tries every format, and its guard against huge pictures is a global setting.
    """
    import pillow_heif
    from PIL import (  # each import registers a format
        AvifImagePlugin,  # noqa: F401
        BmpImagePlugin,  # noqa: F401
        GifImagePlugin,  # noqa: F401
        Image,
        Jpeg2KImagePlugin,  # noqa: F401
        JpegImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        PpmImagePlugin,  # noqa: F401
        SunImagePlugin,  # noqa: F401
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    pillow_heif.register_heif_opener()
    found = [Image.OPEN[name] for name in FORMATS]
    return tuple((accepts or (lambda head: True), make) for make, accepts in found)


def _refuse_preview(first: Mapping[int, Any], others: Sequence[Mapping[int, Any]], path: Path) -> None:
    """Refuse a TIFF file with what a sensor recorded, and one whose first picture is a preview of another."""
    sensor = any(tags.get(_PHOTOMETRIC) in _SENSOR_COLOURS for tags in (first, *others))
    if _DNG_VERSION in first or sensor or _subfile_type(first) & _REDUCED:
        raise _raw(path)
    if any(_is_preview(first, tags) for tags in others):
        raise FrameError(
            f"{path} has a larger picture than its first one, which is only a preview.",
            "Save the larger picture alone, as JPEG, PNG or TIFF.",
        )


def _is_preview(tags: Mapping[int, Any], other: Mapping[int, Any]) -> bool:
    sizes: list[Any] = [tags.get(_WIDTH), tags.get(_HEIGHT), other.get(_WIDTH), other.get(_HEIGHT)]
    if not all(isinstance(size, int) for size in sizes):
        return False
    width, height, other_width, other_height = sizes
    return bool(other_width >= _PREVIEW * width and other_height >= _PREVIEW * height)


def _raw(path: Path) -> FrameError:
    return FrameError(
        f"{path} is a raw file of a camera, of which only a small preview could be read.",
        "Develop it to JPEG, PNG or 16-bit TIFF first.",
    )
