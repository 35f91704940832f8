"""The checks of a take's arrays. ``arrays.toml`` describes the arrays and the limits, for the add-on too."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from im2hands.core.hands import SIDES, Side
from im2hands.core.unpacking import ArrayHeader, unpack_arrays

_SIDED = "S_"
_MISSING = 0  # the status of a frame without the hand
_AS_STORED = ("str", "float16")  # never converted to: float16 only saves room on disk


@dataclass(frozen=True)
class Description:
    """One array; the fields are described at the top of ``arrays.toml``."""

    type: str
    shape: tuple[int | str, ...]
    optional: bool = False
    leads: bool = False
    values: str = ""
    of: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None


def _read_table(path: Path) -> tuple[dict[str, dict[str, Description]], dict[str, Any]]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    limits = table.pop("limits")
    files = {
        file: {name: Description(**{**entry, "shape": tuple(entry["shape"])}) for name, entry in arrays.items()}
        for file, arrays in table.items()
    }
    return files, limits


FILES, LIMITS = _read_table(Path(__file__).with_name("arrays.toml"))
"""The described arrays by file ("frame", "template", "motion") and name; the limits by name."""


def read_described(
    file: str,
    data: bytes,
    lengths: Mapping[str, int] | None = None,
    *,
    only: tuple[str, ...] = (),
    exact: bool = False,
) -> dict[str, np.ndarray]:
    """Read and check the described arrays of a file. Arrays that are not described are passed over.

    Parameters
    ----------
    file : str
        "frame", "template" or "motion".
    data : bytes
        Content of the npz file.
    lengths : mapping of str to int, optional
        Lengths that are known from another file, by letter.
    only : tuple of str
        Names of arrays, without the side. If given, the others are not unpacked, and none is required.
    exact : bool
        Whether the types must be those of the description. Otherwise other types of numbers are converted to them.

    Returns
    -------
    dict of str to array
        Arrays by name. A hand of which there is no array is missing.

    Raises
    ------
    ValueError
        The file is damaged, too large, lacks an array, or has an array whose type, shape or values are wrong.
    """
    described = FILES[file]
    chosen = {name for name in described if not only or name.removeprefix(_SIDED) in only}

    def check(headers: Mapping[str, ArrayHeader]) -> None:
        _check_headers(described, headers, dict(lengths or {}), needed=set() if only else chosen, exact=exact)

    arrays = unpack_arrays(data, LIMITS[f"{file}_bytes"], lambda name: _general(name)[0] in chosen, check)
    for name, one in _checked(described, arrays, lengths or {}):
        if one.type not in _AS_STORED:
            arrays[name] = _converted(name, arrays[name], np.dtype(one.type))
    there = {prefix for prefix, _ in _groups(described, arrays)}
    return {name: array for name, array in arrays.items() if _general(name)[1] in there}


def check_arrays(file: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Check arrays before they are written, so that no file is written that :func:`read_described` refuses.

    Parameters
    ----------
    file : str
        "frame", "template" or "motion".
    arrays : mapping of str to array
        Arrays by name, of the types of the description.

    Raises
    ------
    ValueError
        An array has a wrong type, shape or value, or is missing, or the arrays are too large.
    """
    described, total = FILES[file], sum(array.nbytes for array in arrays.values())
    if total > LIMITS[f"{file}_bytes"]:
        raise ValueError(f"the arrays take {total} bytes, more than the limit of {LIMITS[f'{file}_bytes']}")
    headers = {name: ArrayHeader(array.dtype, array.shape) for name, array in arrays.items()}
    _check_headers(described, headers, {}, needed=set(described), exact=True)
    for _ in _checked(described, arrays, {}):
        pass  # the check is in the iteration


def sides_of(arrays: Mapping[str, np.ndarray]) -> list[Side]:
    """Return the sides that have arrays."""
    return [side for side in SIDES if any(name.startswith(f"{side}_") for name in arrays)]


def _general(name: str) -> tuple[str, str]:
    """Return the name as the table has it, and the prefix that "S_" stands for."""
    for side in SIDES:
        if name.startswith(f"{side}_"):
            return _SIDED + name.removeprefix(f"{side}_"), f"{side}_"
    return name, ""


def _groups(described: Mapping[str, Description], found: Mapping[str, Any]) -> list[tuple[str, dict[str, Description]]]:
    """Return the descriptions of the common arrays, then those of each hand that is there, with their prefix."""
    leads = {name for name, one in described.items() if one.leads}
    names = (_general(name) for name in found)
    prefixes = sorted({prefix for name, prefix in names if prefix and (not leads or name in leads)})
    common = {name: one for name, one in described.items() if not name.startswith(_SIDED)}
    sided = {name: one for name, one in described.items() if name.startswith(_SIDED)}
    return [("", common), *((prefix, sided) for prefix in prefixes)]


def _check_headers(
    described: Mapping[str, Description],
    headers: Mapping[str, ArrayHeader],
    known: dict[str, int],
    *,
    needed: set[str],
    exact: bool,
) -> None:
    """Check types and shapes before anything is unpacked."""
    for prefix, entries in _groups(described, headers):
        own = dict(known)
        for name, one in entries.items():
            full = prefix + name.removeprefix(_SIDED)
            header = headers.get(full)
            if header is None:
                if name in needed and not one.optional:
                    raise ValueError(f"it lacks {full}")
                continue
            if not _is_of_type(header.dtype, one, exact) or not _bind(own, one, header.shape):
                raise ValueError(f"{full} is {header.dtype}{header.shape}")
        if own.get("N", 0) > LIMITS["rows"]:
            raise ValueError(f"it has {own['N']} frames, more than the limit of {LIMITS['rows']}")
        if not prefix:
            known.update(own)


def _is_of_type(dtype: np.dtype[Any], one: Description, exact: bool) -> bool:
    if one.type == "str":
        return dtype.kind == "U"
    wanted = np.dtype(one.type)
    return dtype == wanted if exact else dtype.kind in ("fiu" if wanted.kind == "f" else "iu")


def _bind(lengths: dict[str, int], one: Description, shape: tuple[int, ...]) -> bool:
    """Return whether a shape fits the description; lengths that were not known yet are stored."""
    if len(shape) != len(one.shape):
        return False
    return all(have == (lengths.setdefault(want, have) if isinstance(want, str) else want)
               for want, have in zip(one.shape, shape, strict=True))  # fmt: skip


def _checked(
    described: Mapping[str, Description], arrays: Mapping[str, np.ndarray], lengths: Mapping[str, int]
) -> Iterator[tuple[str, Description]]:
    """Check the values of arrays, in the order of the description; yields each name with its description."""
    known = dict(lengths)
    for prefix, entries in _groups(described, arrays):
        own = dict(known)
        there = [(prefix + name.removeprefix(_SIDED), one) for name, one in entries.items()]
        there = [(name, one) for name, one in there if name in arrays]
        for name, one in there:
            _bind(own, one, arrays[name].shape)
        for name, one in there:
            _check_values(name, one, arrays[name], own, arrays, prefix)
            yield name, one
        if not prefix:
            known = own


def _check_values(
    name: str,
    one: Description,
    array: np.ndarray,
    lengths: Mapping[str, int],
    arrays: Mapping[str, np.ndarray],
    prefix: str,
) -> None:
    if not one.values:
        return
    checked = array
    if one.values == "present":
        checked = array[arrays[f"{prefix}status"] != _MISSING] if f"{prefix}status" in arrays else array
    elif one.values == "with":
        checked = array[arrays[one.of] >= 0]
    if not np.isfinite(checked).all():
        raise ValueError(f"{name} has numbers that are not finite")
    if one.values == "corners":
        _check_corners(name, array, lengths.get(one.of))
    elif one.values == "parents" and array.size and ((array >= np.arange(len(array))).any() or array.min() < -1):
        raise ValueError(f"{name} does not put parents before their children")
    elif one.values == "ascending" and (np.diff(array.astype(np.int64)) <= 0).any():
        raise ValueError(f"{name} is not ascending")
    elif one.values == "shares" and ((array < 0).any() or (array.sum(axis=1, dtype=np.float64) <= 0).any()):
        raise ValueError(f"{name} has shares below 0, or a row without any")
    if one.above is not None and (checked <= one.above).any():
        raise ValueError(f"{name} has numbers that are not above {one.above:g}")
    if one.least is not None and (checked < one.least).any():
        raise ValueError(f"{name} has numbers below {one.least:g}")
    most = LIMITS["last_frame"] if one.values == "ascending" else one.most
    if most is not None and (checked > most).any():
        raise ValueError(f"{name} has numbers past {most:g}")


def _check_corners(name: str, corners: np.ndarray, count: int | None) -> None:
    """Check numbers of vertices; the fourth corner of a triangle among quads is -1."""
    if count is None or not corners.size:
        return
    is_quads = corners.ndim == 2 and corners.shape[1] == 4
    least = (corners[:, :3] if is_quads else corners).min()
    if least < 0 or corners.min() < -1:
        raise ValueError(f"{name} has numbers below 0")
    if corners.max() >= count:
        raise ValueError(f"{name} points past its {count} vertices")


def _converted(name: str, array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert an array whose values were checked to the type of the description."""
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    if limits and array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(f"{name} has numbers that {dtype} cannot hold")
    return np.asarray(array, dtype=dtype, order="C")  # keeps arrays without axes
