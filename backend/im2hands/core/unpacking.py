"""Reading of npz and JSON from bytes that may be damaged or hostile.

These are the only readers of such bytes. Damage makes the decoders below them (``zlib``, ``zipfile``, ``numpy``,
``json``) raise nearly every kind of error. Here all of them become ``ValueError``. Sizes are checked before memory is
taken for them.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

JSON_BYTES = 256 * 2**20
"""Largest JSON file that is read."""
JSON_DEPTH = 64
"""Most objects and lists inside each other."""

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000  # bytes; numpy's own limit
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d*)', 'fortran_order': (True|False), 'shape': \(((?:\d+,? ?)*)\),? *\}\s*"
)
_PLAIN_KINDS = "biufU"  # numbers and text: no objects, which numpy stores as pickles
_LAST_CHARACTER = 0x10FFFF
_LARGEST_WHOLE = 2**63


class ArrayHeader(NamedTuple):
    """What an npz says about an array before the array is unpacked."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def unpack_arrays(
    data: bytes,
    most_bytes: int,
    wanted: Callable[[str], bool] = lambda name: True,
    check: Callable[[Mapping[str, ArrayHeader]], None] = lambda headers: None,
) -> dict[str, np.ndarray]:
    """Read arrays of an ``.npz`` file.

    Parameters
    ----------
    data : bytes
        Content of the file.
    most_bytes : int
        Limit of the size of all wanted arrays together, unpacked.
    wanted : callable
        Returns whether an array of that name is to be read. The others are neither unpacked nor checked.
    check : callable
        Called with the headers of the wanted arrays before they are unpacked. Raises ValueError for a header that does
        not fit.

    Returns
    -------
    dict of str to array
        The wanted arrays by name, in the machine's byte order, writable.

    Raises
    ------
    ValueError
        The file is damaged, larger than ``most_bytes``, or an array does not fit. No other error is raised.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = _members(archive, wanted)
            total = sum(member.file_size for member in members.values())
            if total > most_bytes:
                raise ValueError(f"its arrays take {total} bytes, more than the limit of {most_bytes}")
            headers = {name: read_header(archive, member)[0] for name, member in members.items()}
            check(headers)
            return {name: _read_array(archive, member) for name, member in members.items()}
    except ValueError:
        raise
    except Exception as error:  # see the module: damage raises nearly everything
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def parse_json(data: bytes, most_depth: int = JSON_DEPTH, *, nan: bool = False) -> Any:
    """Parse JSON in UTF-8. A byte order mark at its start, which editors on Windows write, is passed over.

    Parameters
    ----------
    data : bytes
        The text.
    most_depth : int
        Most objects and lists inside each other.
    nan : bool
        Whether ``NaN`` is allowed, which stands for a missing number.

    Returns
    -------
    Any
        Plain JSON types. Other numbers are finite, and whole numbers have at most 63 bits.

    Raises
    ------
    ValueError
        The text is not JSON, or is beyond these limits. No other error is raised.
    """
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(text, parse_constant=_nan_only if nan else _refuse, parse_float=_finite, parse_int=_whole)
    except ValueError:
        raise
    except Exception as error:  # RecursionError, MemoryError
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error
    _check_depth(value, most_depth)
    return value


def _members(archive: zipfile.ZipFile, wanted: Callable[[str], bool]) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(_SUFFIX)
        if name == member.filename or not wanted(name):
            continue
        if name in found:
            raise ValueError(f"it has two arrays {name}")
        found[name] = member
    return found


def read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[ArrayHeader, bool, int]:
    """Read what an archive says about one of its arrays.

    Parameters
    ----------
    archive : zipfile.ZipFile
        The archive.
    member : zipfile.ZipInfo
        The array's entry.

    Returns
    -------
    header : ArrayHeader
        Type and shape of the array; both fit the size of the entry.
    is_fortran : bool
        Whether it is in Fortran order.
    before : int
        Number of bytes before its values.

    Raises
    ------
    Exception
        The entry is damaged: a ValueError, or nearly any error of ``zipfile``.
    """
    name = member.filename.removesuffix(_SUFFIX)
    with archive.open(member) as file:
        start = file.read(8)
        wide = start[6:7] != b"\x01"
        length = int.from_bytes(file.read(4 if wide else 2), "little")
        if start[:6] != _MAGIC or length > _LONGEST_HEADER:
            raise ValueError(f"{name} is no array")
        match = _HEADER.fullmatch(file.read(length).decode("latin-1"))
    if match is None:
        raise ValueError(f"the header of {name} is damaged")
    dtype = np.dtype(match[1])
    shape = tuple(int(part) for part in match[3].replace(" ", "").split(",") if part)
    before = 8 + (4 if wide else 2) + length
    if dtype.kind not in _PLAIN_KINDS or dtype.itemsize == 0:
        raise ValueError(f"{name} has the type {dtype}")
    if math.prod(shape) * dtype.itemsize != member.file_size - before:
        raise ValueError(f"{name} has another size than its header says")
    return ArrayHeader(dtype, shape), match[2] == "True", before


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    (dtype, shape), is_fortran, before = read_header(archive, member)
    with archive.open(member) as file:
        content = bytearray(file.read(member.file_size))
        if len(content) != member.file_size or file.read(1):
            raise ValueError(f"{member.filename} has another size than the archive says")
    array = np.frombuffer(content, dtype, offset=before).reshape(shape, order="F" if is_fortran else "C")
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    if dtype.kind == "U" and array.size and array.reshape(-1).view(np.uint32).max() > _LAST_CHARACTER:
        raise ValueError(f"{member.filename} has text that is none")
    return array


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _nan_only(name: str) -> float:
    return math.nan if name == "NaN" else _refuse(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    value = int(text)  # ValueError for thousands of digits
    if abs(value) >= _LARGEST_WHOLE:
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _check_depth(value: Any, most: int) -> None:
    level = [value]
    for _ in range(most + 1):
        inside = [one for one in level if isinstance(one, (dict, list))]
        if not inside:
            return
        level = [child for one in inside for child in (one.values() if isinstance(one, dict) else one)]
    raise ValueError(f"it has more than {most} objects and lists inside each other")
