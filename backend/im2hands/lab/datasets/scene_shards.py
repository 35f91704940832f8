"""Shards of a scene set: npz files with several scenes each, read through a memory map."""

from __future__ import annotations

import math
import mmap
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import open_regular
from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.core.unpacking import read_header

from .scene import AGAIN, Scene, SetInfo

_P = -1  # stands for the number of labelled points in the shapes below
ARRAYS: dict[str, tuple[type, tuple[int, ...]]] = {
    "keypoints": (np.float32, (2, KEYPOINT_COUNT, 3)),
    "visible": (np.uint8, (2, KEYPOINT_COUNT)),
    "intrinsics": (np.float32, (3, 3)),
    "size": (np.int32, (2,)),
    "mode": (np.int8, ()),
    "components": (np.float32, (2, 20)),
    "length": (np.float32, (2, 22)),
    "thickness": (np.float32, (2, 22)),
    "rotations": (np.float32, (2, 22, 3, 3)),
    "turn": (np.float32, (2, 3, 3)),
    "shift": (np.float32, (2, 3)),
    "points": (np.float16, (2, _P, 3)),
    "distance": (np.float16, (2, _P)),
    "part": (np.int8, (2, _P)),
    "other": (np.float16, (2, _P)),
    "detected": (np.float32, (2, KEYPOINT_COUNT, 3)),
}
"""Type and shape of one scene's entry in each array."""

OPTIONAL = ("detected",)
"""Arrays that a shard may lack."""

_FILES = ("picture", "labels")


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of shard ``number`` of a set."""
    return folder / f"shard_{number:05}.npz"


def shape_of(name: str, points: int) -> tuple[int, ...]:
    """Return the shape of one scene's entry in the array ``name`` of a set with ``points`` labelled points."""
    return tuple(points if size == _P else size for size in ARRAYS[name][1])


def pack(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """Pack scenes into the arrays of a shard; see the table of ``scenes``.

    An optional array is left out if no scene has it, and NaN for scenes without it.
    """
    arrays: dict[str, np.ndarray] = {}
    for name in _FILES:
        files = [getattr(scene, name) for scene in scenes]
        arrays[name] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{name}_end"] = np.cumsum([len(data) for data in files], dtype=np.int64)
    for name, (dtype, _) in ARRAYS.items():
        values = [getattr(scene, name) for scene in scenes]
        if all(value is None for value in values):
            continue
        missing = np.full(shape_of(name, 0), np.nan)
        arrays[name] = np.stack([missing if value is None else value for value in values]).astype(dtype)
    return arrays


def is_whole(folder: Path, number: int, info: SetInfo) -> bool:
    """Check whether a shard exists, is undamaged and full.

    Parameters
    ----------
    folder : Path
        Folder of the set.
    number : int
        Number of the shard.
    info : SetInfo
        Description of the set.

    Returns
    -------
    bool
        Whether the shard holds ``info.shard_size`` scenes.
    """
    try:
        return Shard(shard_path(folder, number), info).count == info.shard_size
    except InputError:
        return False


class Shard:
    """An open shard. Its arrays are a memory map of the file, so only the parts in use are read.

    Parameters
    ----------
    path : Path
        The file.
    info : SetInfo
        Description of the set to which it belongs.

    Attributes
    ----------
    count : int
        Number of scenes in the shard.

    Raises
    ------
    InputError
        The file is missing, damaged, or does not belong to the set.
    """

    def __init__(self, path: Path, info: SetInfo) -> None:
        try:
            self.arrays = _map_arrays(path)
        except FileNotFoundError as error:
            raise InputError(f"The shard {path} is missing.", AGAIN) from error
        except Exception as error:  # damage makes zipfile raise nearly everything
            raise InputError(f"The shard {path} is cut off or damaged: {error}.", AGAIN) from error
        self.path = path
        self.count = len(self.arrays["mode"]) if "mode" in self.arrays else 0
        problem = self._problem(info)
        if problem:
            raise InputError(f"{path} is no shard of this set: {problem}.", AGAIN)

    def _problem(self, info: SetInfo) -> str:
        """Why the arrays do not fit the set; empty if they do."""
        for name, (dtype, _) in ARRAYS.items():
            array = self.arrays.get(name)
            if array is None:
                if name in OPTIONAL:
                    continue
                return f"the array {name} is missing"
            expected = (self.count, *shape_of(name, info.points))
            if array.dtype != dtype or array.shape != expected:
                return f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {expected}"
        for name in _FILES:
            data, end = self.arrays.get(name), self.arrays.get(f"{name}_end")
            if data is None or end is None or end.dtype != np.int64 or end.shape != (self.count,):
                return f"{name} is missing or damaged"
            if data.dtype != np.uint8 or (np.diff(end, prepend=0) < 0).any() or (self.count and end[-1] != len(data)):
                return f"{name} is damaged"
        mode, size = self.arrays["mode"], self.arrays["size"]
        if self.count and not (mode.min() >= 0 and mode.max() < len(info.modes) and size.min() > 0):
            return "it has a scene of an unknown mode or without a picture"
        return ""

    def scene(self, row: int) -> Scene:
        """Return a copy of scene ``row`` of the shard."""
        values: dict[str, Any] = {}
        for name in _FILES:
            end = self.arrays[f"{name}_end"]
            values[name] = self.arrays[name][end[row - 1] if row else 0 : end[row]].tobytes()
        for name in ARRAYS:
            values[name] = self.arrays[name][row].copy() if name in self.arrays else None
        return Scene(**values)


def _map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Map the arrays of an uncompressed npz file into memory.

    Raises ValueError for compressed or otherwise unusable arrays, and nearly any error for a damaged file.
    """
    arrays = {}
    with open_regular(path) as handle, zipfile.ZipFile(handle) as archive:
        mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            # A name and an extra field follow the local zip header (30 bytes); its bytes 26 to 29 give their lengths.
            handle.seek(member.header_offset + 26)
            lengths = np.frombuffer(handle.read(4), "<u2")
            start = member.header_offset + 30 + int(lengths.sum(dtype=np.int64))
            (dtype, shape), is_fortran, before = read_header(archive, member)
            if is_fortran:
                raise ValueError(f"{member.filename} is in Fortran order")
            flat = np.frombuffer(mapped, dtype, math.prod(shape), start + before)
            arrays[member.filename.removesuffix(".npy")] = flat.reshape(shape)
    return arrays
