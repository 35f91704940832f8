"""Opening of files with FFmpeg (PyAV) so that nothing but the file itself is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NoReturn

from .picture_file import LARGEST_PIXELS

# Formats that hold their pictures themselves. Playlists, lists of files, devices and streams are not among them.
CLIP_FORMATS = (
    "mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h261", "h263", "h264", "hevc", "vvc",
    "obu", "ivf", "asf", "flv", "live_flv", "ogg", "mxf", "dv", "gxf", "nut", "nsv", "rm", "wtv", "vc1", "mjpeg",
    "mjpeg_2000", "dirac", "cavsvideo", "yuv4mpegpipe",
)  # fmt: skip

# Main brands of still pictures in the container of MP4. FFmpeg would show a tile or a preview of them as a clip.
_STILL_BRANDS = frozenset({"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "avif", "avis", "crx"})


_BOX_HEAD_BYTES = 8
_LONG_BOX_HEAD_BYTES = 16


def open_container(file: BinaryIO, formats: Sequence[str]) -> Any:
    """Open a file with FFmpeg.

    Parameters
    ----------
    file : binary stream
        The file. FFmpeg reads through it and opens nothing by name, so that any name is possible.
    formats : sequence of str
        FFmpeg's names of the formats that are allowed.

    Returns
    -------
    av.container.InputContainer
        The open container.

    Raises
    ------
    av.error.FFmpegError
        The file is damaged or has another format.
    """
    import av

    file.seek(0)
    options = {
        "format_whitelist": ",".join(formats),
        "protocol_whitelist": "none",
        "max_pixels": str(LARGEST_PIXELS),  # of the first frames, which FFmpeg decodes while it opens some formats
    }
    return av.open(file, "r", options=options, io_open=_refuse, metadata_errors="replace")


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Walk through the outermost boxes of a file of the kinds MP4 and HEIC.

    Parameters
    ----------
    file : binary stream
        The file.

    Yields
    ------
    bytes
        Name of a box.
    int
        Place of its first byte.
    int
        Its length, bytes; it may reach beyond the end of the file. The last box of a file may go to its end.
    """
    size = file.seek(0, os.SEEK_END)
    place = 0
    while place + _BOX_HEAD_BYTES <= size:
        file.seek(place)
        head = file.read(_LONG_BOX_HEAD_BYTES)
        length = int.from_bytes(head[:4], "big")
        if length == 1:  # the length follows, with 64 bits
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - place
        if length < _BOX_HEAD_BYTES:
            return  # no box; the decoder says what is wrong
        yield head[4:8], place, length
        place += length


def is_still(container: Any) -> bool:
    """Return whether an open container is a still picture of the kinds HEIC, AVIF and CR3.

    Parameters
    ----------
    container : av.container.InputContainer
        The open container.

    Returns
    -------
    bool
        True if it must not be read as a clip.
    """
    return container.metadata.get("major_brand", "").strip() in _STILL_BRANDS


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"{url} is not opened: a clip consists of one file")
