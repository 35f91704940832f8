"""Damage for tests of readers: mutants of files, lines and JSON, made from a seed."""

from __future__ import annotations

import io
import json
import struct
import warnings
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
ODD_JSON = (
    b"[" * 100_000, b'{"a":' * 50_000, b"", b"null", b"\xff", b"[1e400]", b"9" * 5000, b"[NaN]", b"-Infinity", b"{}",
    "{}".encode("utf-16"), "{}".encode("utf-32"), b"\xef\xbb\xbf", b"\xef\xbb\xbf[]", b'"\\ud800"', b'{"\\ud800": 1}',
    b'{"frames": {}, "frames": []}', b"[1,]", b"\0", b"[-1e-400, -0]",
)  # fmt: skip
ODD_TOML = (
    "1e400", "nan", "-inf", "-1", "0", "true", "[1]", "[[1]]", "{a = 1}", '"x"', "9" * 400, "1979-05-27", "[]",
    "[" * 5000, '""', "1.5", '"\\uD800"', "0x10", "[nan, nan]",
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
    kind = int(random.integers(10))
    if kind < 3:
        return damaged_bytes(data, random)
    if kind > 7:
        return tricked_zip(data, random)
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


def tricked_zip(data: bytes, random: np.random.Generator) -> bytes:
    """Return an archive with a trick: names twice or absolute, a bomb, a comment, or flags and sizes that are lies."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    kind, chosen = int(random.integers(8)), int(random.integers(len(parts)))
    name, content = parts[chosen]
    comment, method = b"", zipfile.ZIP_STORED
    match kind:
        case 0:
            parts.append((name, content[::-1]))
        case 1:
            parts[chosen] = (f"/etc/{name}", content)
        case 2:
            parts[chosen] = (f"../../{name}", content)
        case 3:
            parts[chosen], method = (name, content + bytes(10**7)), zipfile.ZIP_DEFLATED
        case 4:
            parts.append(("more.npy", bytes(10**7)))
            method = zipfile.ZIP_DEFLATED
        case 5:
            comment = random.bytes(2**15) + b"PK\5\6" + bytes(18)
        case 6:
            method = zipfile.ZIP_LZMA if random.random() < 0.5 else zipfile.ZIP_BZIP2
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a name twice
        archive.comment = comment
        for each, inside in parts:
            archive.writestr(each, inside)
    tricked = bytearray(buffer.getvalue())
    if kind == 7:  # encrypted, or a size that is said to stand in a zip64 field
        at = tricked.rfind(b"PK\1\2")
        offset, value = [(8, b"\x01\x00"), (20, b"\xff" * 4), (24, b"\xff" * 4), (42, b"\xff" * 4)][chosen % 4]
        tricked[at + offset : at + offset + len(value)] = value
    return bytes(tricked)


def damaged_weights(data: bytes, random: np.random.Generator) -> bytes:
    """Return a safetensors file with damaged bytes, or with a header that lies about sizes, types or offsets."""
    length = int.from_bytes(data[:8], "little")
    header, values = data[8 : 8 + length], data[8 + length :]
    match int(random.integers(5)):
        case 0:
            return damaged_bytes(data, random)
        case 1:
            return damaged_bytes(data[: 8 + length], random) + values
        case 2:
            return int(random.choice([0, 1, length - 1, length + 1, 2**31, 2**62])).to_bytes(8, "little") + data[8:]
        case 3:
            header = damaged_json(header, random)
        case _:
            tree = json.loads(header)
            names = [name for name in tree if name != "__metadata__"]
            one, two = (tree[str(name)] for name in random.choice(names, 2))
            match int(random.integers(5)):
                case 0:
                    one["data_offsets"] = two["data_offsets"]
                case 1:
                    one["dtype"] = str(random.choice(["F64", "I8", "BOOL", "F8_E4M3", "X"]))
                case 2:
                    one["shape"] = [*one["shape"], int(random.choice([1, 2, 2**40]))]
                case 3:
                    tree[f"{names[0]}\0{names[-1]}"] = tree.pop(names[0])
                case _:
                    one["data_offsets"] = [0, 2**62]
            header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "little") + header + values


def damaged_checkpoint(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file of PyTorch with damaged bytes, other operations of its pickle, or tricks of its archive."""
    is_zip = data.startswith(b"PK")
    kind = int(random.integers(4))
    if kind == 0 and is_zip:
        return tricked_zip(data, random)
    if kind == 1:
        damaged = bytearray(data)
        for place in random.integers(min(len(data), 600), size=3).tolist():
            damaged[place] = int(random.choice(list(b"cRbiotq.0(}]\x80\x81\x93\x95")))
        return bytes(damaged)
    return damaged_bytes(data, random)


def damaged_toml(data: bytes, random: np.random.Generator) -> bytes:
    """Return TOML with damaged bytes, or with another value in some line."""
    if random.random() < 0.3:
        return damaged_bytes(data, random)
    lines = data.decode("utf-8").splitlines()
    number = int(random.integers(len(lines)))
    name = lines[number].partition("=")[0].strip("[] ")
    lines[number] = f"{name} = {ODD_TOML[int(random.integers(len(ODD_TOML)))]}"
    return "\n".join(lines).encode()


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
        return ODD_JSON[int(random.integers(len(ODD_JSON)))]
    if kind == 2 and random.random() < 0.2:
        return b"\xef\xbb\xbf" + data
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


DAMAGE: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    ".npz": damaged_npz, ".json": damaged_json, ".safetensors": damaged_weights, ".pt": damaged_checkpoint,
    ".toml": damaged_toml,
}  # fmt: skip
"""What makes a mutant of a file, by its suffix."""
