"""Files of other systems as plain values: json, npz, npy, pkl (by an allow-list, nothing is run) and ply of points."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.errors import InputError
from im2hands.core.files import read_regular
from im2hands.core.unpacking import parse_json, unpack_arrays
from im2hands.core.unpickling import unpickle
from im2hands.geometry.mesh_file import MESH_SUFFIXES, read_mesh_file

PICKLES = (".pkl", ".pickle")
SUFFIXES = (".json", ".npz", ".npy", *PICKLES, *MESH_SUFFIXES)
"""File formats that are read."""

_MOST_BYTES = 512 * 2**20


def files_in(paths: Sequence[Path]) -> list[Path]:
    """The files of paths; folders give their files of known formats, in the order of their names.

    Raises
    ------
    InputError
        A path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path} holds no file of keypoints.", f"Known formats: {', '.join(SUFFIXES)}.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"There is no {path}.", "Check the path.")
    return found


def contents_of(paths: Sequence[Path]) -> Iterator[tuple[Path, Any]]:
    """Yield every file of paths with its content, see ``files_in`` and ``read_values``.

    Raises
    ------
    InputError
        A path does not exist, or a file cannot be read.
    """
    for path in files_in(paths):
        yield path, read_values(path)


def tables_of(paths: Sequence[Path], hint: str, *needed: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every file of paths with its values by name.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.
    hint : str
        What to save, for the error.
    *needed : str
        Names that every file must have.

    Raises
    ------
    InputError
        As ``contents_of``, or a file holds no values by name or lacks one.
    """
    for path, content in contents_of(paths):
        if not isinstance(content, dict):
            raise InputError(f"{path.name} holds no results by name.", hint)
        for name in needed:
            if name not in content:
                raise InputError(f"{path.name} has no {name}.", hint)
        yield path, content


def read_values(path: Path) -> Any:
    """Read a file.

    Parameters
    ----------
    path : Path
        File with one of ``SUFFIXES``.

    Returns
    -------
    Any
        JSON types, or NumPy arrays by name. A file of points or a mesh is {"vertices": (V, 3)}.

    Raises
    ------
    InputError
        The file cannot be read, has another format, is damaged, or holds more than plain data.
    """
    suffix = path.suffix.lower()
    if suffix in MESH_SUFFIXES:
        return {"vertices": read_mesh_file(path, "file of points")[0]}
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is not of a known format.", f"Known formats: {', '.join(SUFFIXES)}.")
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    try:
        if suffix in PICKLES:
            return unpickle(data)
        if suffix == ".npz":
            return unpack_arrays(data, _MOST_BYTES)
        if suffix == ".npy":
            return np.load(io.BytesIO(data), allow_pickle=False)
        return parse_json(data, nan=True)
    except ValueError as error:
        hint = "Save tensors as NumPy arrays and objects as dicts." if suffix in PICKLES else "Write it again."
        raise InputError(f"{path} cannot be read: {error}.", hint) from error


def numbers(value: Any, what: str) -> np.ndarray:
    """Return a value as float64 array.

    Raises
    ------
    InputError
        It holds something else than numbers.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {what} is not numbers.", "Write it as rows of numbers.") from error
    return array
