"""Opening of files with FFmpeg (PyAV) so that nothing but the file itself is read."""

from __future__ import annotations

from collections.abc import Sequence
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
