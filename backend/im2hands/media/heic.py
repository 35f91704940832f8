"""Whether a HEIC picture of tiles has all of them. Its decoder leaves a damaged tile black without a word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from im2hands.core.errors import FrameError

from .container import boxes, open_container


def refuse_missing_tiles(image: Any, file: BinaryIO, path: Path) -> None:
    """Decode the tiles of a HEIC picture one by one, and refuse the picture if one cannot be decoded.

    Parameters
    ----------
    image : PIL.Image.Image
        The opened picture.
    file : binary stream
        Its file.
    path : Path
        Its path, for messages.

    Raises
    ------
    FrameError
        The file is cut off, or a tile is damaged.
    """
    if _is_cut(file):
        raise FrameError(f"{path} is cut off: its data ends early.", "Copy or export the picture again.")
    if image.info.get("tiling") and not _tiles_are_whole(file):
        raise FrameError(f"{path} is damaged: a tile of it cannot be decoded.", "Copy or export the picture again.")


def _is_cut(file: BinaryIO) -> bool:
    """Return whether a box of the file reaches beyond its end."""
    size = file.seek(0, os.SEEK_END)
    return any(place + length > size for _, place, length in boxes(file))


def _tiles_are_whole(file: BinaryIO) -> bool:
    import av

    try:
        with open_container(file, ("mov",)) as container:
            missing = {stream.index for stream in container.streams.video}
            for packet in container.demux(*container.streams.video):
                try:
                    whole = [frame for frame in packet.decode() if not frame.is_corrupt]
                except av.error.FFmpegError:
                    continue
                if whole and not packet.is_corrupt:
                    missing.discard(packet.stream_index)
    except av.error.FFmpegError:
        return True  # FFmpeg does not know how its tiles are coded
    return not missing
