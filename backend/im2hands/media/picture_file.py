"""Opening of picture files with Pillow: a fixed list of formats, sizes judged by the header, no part for the whole."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from im2hands.core.errors import FrameError

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
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF
_SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION = 254, 262, 50706
_SENSOR_COLOURS = (32803, 34892)  # values of _PHOTOMETRIC: colour filter array, linear raw
_REDUCED = 1  # bit of _SUBFILE_TYPE: a smaller copy of another picture of the file


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
    if head.startswith(_TIFF_HEADS):
        _refuse_preview(tiff_tags(file), path)
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
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head = read_head(file)
    if not head.startswith(_TIFF_HEADS):
        return {}
    try:
        directory = ImageFileDirectory_v2(head if b"+" in head[:4] else head[:8])  # BigTIFF has a longer head
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
    except DAMAGE:
        return {}


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


def _refuse_preview(tags: Mapping[int, Any], path: Path) -> None:
    kind, colours = tags.get(_SUBFILE_TYPE, 0), tags.get(_PHOTOMETRIC)
    if _DNG_VERSION in tags or colours in _SENSOR_COLOURS or (isinstance(kind, int) and kind & _REDUCED):
        raise _raw(path)


def _raw(path: Path) -> FrameError:
    return FrameError(
        f"{path} is a raw file of a camera, of which only a small preview could be read.",
        "Develop it to JPEG, PNG or 16-bit TIFF first.",
    )
