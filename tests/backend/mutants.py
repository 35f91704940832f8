"""Damage for tests of readers: mutants of files, lines and JSON, made from a seed."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FAULTS = Path(__file__).parents[1] / "fault_cases"
"""A small take, and files that once broke a reader: ``takes/MODE_NN_TARGET`` goes over ``TARGET`` in a copy of it."""

ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63 - 1, 2**70, 1e308, float("inf"), float("nan"), "", "\0", "/etc/passwd", "../x",
    "\ud800", [], {}, [[]], {"left": {}}, "9" * 5000, [1] * 100, 0.5, "ok",
)  # fmt: skip
ODD_HEADERS = (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3000000000000,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (",
    b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
    b"{'descr': '<U0', 'fortran_order': True, 'shape': (4, 0), }",
    b"(" * 4000,
    b"\xff\xfe{",
)


def case_files() -> list[tuple[str, str, Path]]:
    """Return the kept cases: what was tried (addon, export, clean, resume), the path in the take, and the file."""
    found = []
    for path in sorted((FAULTS / "takes").iterdir()):
        mode, _, target = path.name.split("_", 2)
        for folder in ("frames", "cache_hands"):
            target = target.replace(f"{folder}_", f"{folder.replace('_', '/')}/")
        found.append((mode, target, path))
    return found


def damaged_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Return bytes with flipped bits, or parts that are cut out, doubled or replaced."""
    damaged = bytearray(data)
    start, length = int(random.integers(len(data))), int(random.integers(1, 64))
    match int(random.integers(6)):
        case 0:
            damaged[start] ^= 1 << int(random.integers(8))
        case 1:
            for place in random.integers(len(data), size=8).tolist():
                damaged[place] = int(random.integers(256))
        case 2:
            del damaged[start:]
        case 3:
            del damaged[start : start + length]
        case 4:
            damaged[start:start] = damaged[start : start + length]
        case _:
            damaged[start : start + length] = random.bytes(length)
    return bytes(damaged)


def damaged_npz(data: bytes, random: np.random.Generator) -> bytes:
    """Return an npz with damaged bytes, a damaged archive, or with other headers, arrays or values."""
    kind = int(random.integers(8))
    if kind < 3:
        return damaged_bytes(data, random)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = str(random.choice(list(parts)))
    if kind == 3:  # the sizes, checksums and methods that the archive states
        damaged = bytearray(data)
        at = damaged.rfind(b"PK\1\2", 0, int(random.integers(len(data) // 2, len(data))))
        struct.pack_into("<H", damaged, at + int(random.integers(4, 44)), int(random.integers(2**16)))
        return bytes(damaged)
    if kind == 4:
        header = ODD_HEADERS[int(random.integers(len(ODD_HEADERS)))]
        parts[name] = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + parts[name][128:]
    elif kind == 5:
        del parts[name]
    else:
        array = np.lib.format.read_array(io.BytesIO(parts[name]), allow_pickle=False)
        part = io.BytesIO()
        np.lib.format.write_array(part, _damaged_array(array, random))
        parts[name] = part.getvalue()
    buffer = io.BytesIO()
    method = zipfile.ZIP_STORED if random.random() < 0.5 else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return buffer.getvalue()


def _damaged_array(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    is_text = array.dtype.kind == "U"
    match int(random.integers(5)):
        case 0:
            return array.reshape(-1)
        case 1:
            return array[:-1] if array.ndim and len(array) else np.zeros(3)
        case 2:
            return array[..., None] if is_text else array.astype(str if array.dtype.kind == "f" else np.float64)
        case 3 if array.dtype.kind in "fiu" and array.size:
            changed = array.copy().reshape(-1)
            odd = (np.nan, np.inf, -5, 3e38) if array.dtype.kind == "f" else (-5, 2**31 - 1)
            with np.errstate(all="ignore"):
                changed[int(random.integers(array.size))] = np.array(random.choice(odd)).astype(array.dtype)
            return changed.reshape(array.shape)
        case _:
            return array if is_text else np.frombuffer(random.bytes(array.nbytes), array.dtype).reshape(array.shape)


def damaged_json(data: bytes, random: np.random.Generator) -> bytes:
    """Return JSON with damaged bytes, deep nesting, or another value at some place."""
    kind = int(random.integers(6))
    if kind == 0:
        return damaged_bytes(data, random)
    if kind == 1:
        return random.choice([b"[" * 100_000, b'{"a":' * 50_000, b"", b"null", b"\xff", b"[1e400]", b"9" * 5000])
    tree = json.loads(data)
    places = list(_places(tree))
    for _ in range(int(random.integers(1, 3))):
        holder, key = places[int(random.integers(len(places)))]
        if random.random() < 0.2 and isinstance(holder, dict):
            holder.pop(key, None)
        else:
            holder[key] = ODD_VALUES[int(random.integers(len(ODD_VALUES)))]
    text = json.dumps(tree).replace("Infinity", "1e400")
    return text.encode()


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(items):
        yield value, key
        yield from _places(child)


def damaged_line(line: bytes, random: np.random.Generator) -> bytes:
    """Return a line of the protocol that is damaged and has no line end inside."""
    return damaged_json(line, random).replace(b"\n", b" ").replace(b"\r", b" ")


DAMAGE: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {".npz": damaged_npz, ".json": damaged_json}
"""What makes a mutant of a file, by its suffix."""
