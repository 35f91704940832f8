"""Whether a PNG file is as it was written. Pillow does not look at the checksums of its pixels."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO

from im2hands.core.errors import FrameError

_SIGNATURE_BYTES = 8
_LARGEST_CHUNK = 2**31
_READ_BYTES = 2**20


def refuse_damaged_png(file: BinaryIO, path: Path) -> None:
    """Compare the checksums of the pixels of a PNG file.

    Parameters
    ----------
    file : binary stream
        The file.
    path : Path
        Its path, for the message.

    Raises
    ------
    FrameError
        A checksum is wrong. A file that ends early is left to the decoder, which says so.
    """
    file.seek(_SIGNATURE_BYTES)
    while len(head := file.read(8)) == 8:
        left, name = int.from_bytes(head[:4], "big"), head[4:]
        if left > _LARGEST_CHUNK:
            return
        checksum = zlib.crc32(name)
        while left:
            data = file.read(min(left, _READ_BYTES))
            if not data:
                return
            checksum = zlib.crc32(data, checksum)
            left -= len(data)
        stored = file.read(4)
        if len(stored) == 4 and name == b"IDAT" and int.from_bytes(stored, "big") != checksum:
            raise FrameError(f"{path} is damaged: a checksum of it is wrong.", "Copy or export the picture again.")
        if name == b"IEND":
            return
