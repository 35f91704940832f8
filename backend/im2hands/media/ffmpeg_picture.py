"""Pictures that Pillow does not read, through FFmpeg: TIFF with floats in colour, Radiance HDR and PFM."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .container import open_container
from .picture_file import check_size

_HEADS = (b"II*\0", b"MM\0*", b"#?RADIANCE", b"#?RGBE", b"PF", b"Pf")
_FORMATS = ("tiff_pipe", "hdr_pipe", "pfm_pipe")


def is_known(head: bytes) -> bool:
    """Return whether a file may have one of the formats of this module.

    Parameters
    ----------
    head : bytes
        The first bytes of the file.

    Returns
    -------
    bool
        False means that the file needs not be tried.
    """
    return head.startswith(_HEADS)


def read_with_ffmpeg(file: BinaryIO, path: Path) -> np.ndarray | None:
    """Decode a picture as it is stored.

    Parameters
    ----------
    file : binary stream
        The file.
    path : Path
        Its path, for messages.

    Returns
    -------
    (H, W, 3) or (H, W) array or None
        Integers or linear floats; None if the file cannot be read.

    Raises
    ------
    FrameError
        The picture is too large.
    """
    import av

    file.seek(0)
    try:
        with open_container(file, _FORMATS) as container:
            stream = container.streams.video[0]
            check_size(stream.codec_context.width, stream.codec_context.height, path)
            frame = next(container.decode(stream))
            check_size(frame.width, frame.height, path)
            return _as_array(frame)
    except (av.error.FFmpegError, StopIteration, IndexError, ValueError):
        return None


def _as_array(frame: Any) -> np.ndarray:
    floats = "f32" in frame.format.name
    pixels: np.ndarray = frame.to_ndarray(channel_last=True) if floats else frame.to_ndarray(format="rgb48le")
    if pixels.ndim == 3 and pixels.shape[-1] == 4:  # straight alpha, which no such file is known to use
        pixels = pixels[..., :3]
    return pixels
