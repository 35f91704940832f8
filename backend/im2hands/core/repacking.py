"""Adding arrays to a packed ``.npz`` file without packing those that it has again."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

from .files import pack_arrays

_LOCAL = struct.Struct("<4s22xHH")
"""Start of a member: its mark, and the lengths of its name and of its extra field."""

_SIZES_FOLLOW = 0x08  # flag of members whose sizes stand behind their data; other programs write such files


def repack_arrays(content: bytes, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Add arrays to a file that ``pack_arrays`` made.

    Parameters
    ----------
    content : bytes
        Content of the file.
    arrays : mapping of str to array
        Arrays to add, or to replace, by name.

    Returns
    -------
    bytes
        Content of the new file: the bytes that ``pack_arrays`` gives for all arrays. Compressed data of the old ones
        are copied, and checked by the next reader.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    added = pack_arrays(arrays)
    members: dict[str, tuple[zipfile.ZipInfo, bytes]] = {}
    try:
        for packed in (content, added):
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                for info in archive.infolist():
                    members[info.filename] = info, _data(packed, info)
    except Exception as error:  # see ``unpacking``: damage raises nearly everything
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members, key=lambda name: name.removesuffix(".npy")):
            info, data = members[name]
            info.header_offset = buffer.tell()
            info.flag_bits &= ~_SIZES_FOLLOW
            buffer.write(info.FileHeader(zip64=False))
            buffer.write(data)
            archive.filelist.append(info)
        archive.start_dir = buffer.tell()
        archive._didModify = True  # type: ignore[attr-defined]
    return buffer.getvalue()


def _data(packed: bytes, info: zipfile.ZipInfo) -> bytes:
    """The compressed data of a member."""
    mark, name, extra = _LOCAL.unpack_from(packed, info.header_offset)
    start = info.header_offset + _LOCAL.size + name + extra
    data = packed[start : start + info.compress_size]
    if mark != zipfile.stringFileHeader or len(data) != info.compress_size:  # type: ignore[attr-defined]
        raise ValueError(f"{info.filename} is damaged")
    return data
