"""Reading of foreign PyTorch checkpoints.

Nothing in the file is executed, and its size is checked before it is read.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from im2hands.core.errors import InputError
from im2hands.core.files import open_regular, utf8_path

MAX_ENTRIES = 20_000
"""Most entries of an archive."""

MAX_PICKLE = 16 << 20
"""Bytes; largest pickle in an archive."""

_LEGACY = b"\x80\x02"  # first bytes of the series of pickles that PyTorch before 1.6 wrote
_NUMBERS = ("f2", "f4", "f8", "i2", "i4", "i8")
_AGAIN = "Download it again."


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file.

    Parameters
    ----------
    state : dict of str to Tensor
        The network's tensors by their names in the file. They may still be mapped from disk.
    iteration : int or None
        Iteration of the training, if the file has it.
    epoch : int or None
        Epoch of the training, if the file has it.
    best : float or None
        Best validation value, if the file has one and it is finite.
    """

    state: dict[str, Tensor]
    iteration: int | None = None
    epoch: int | None = None
    best: float | None = None


def read_checkpoint(path: Path, limit: int) -> Checkpoint:
    """Read a file that ``torch.save`` wrote, without executing anything in it.

    Parameters
    ----------
    path : Path
        The file.
    limit : int
        Largest allowed size in bytes, of the file and of the contents that it claims.

    Returns
    -------
    Checkpoint
        The contents.

    Raises
    ------
    InputError
        The file is missing, no checkpoint, cut off, damaged or too large, or it holds more than data.
    """
    try:
        with open_regular(path) as handle:
            size = os.fstat(handle.fileno()).st_size
            head = handle.read(64)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder.", "Give the checkpoint files in it.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if size > limit:
        raise InputError(f"{path} has {_size(size)}, more than any published checkpoint ({_size(limit)}).")
    if head.startswith(b"PK"):
        check_archive(path, size, limit)
    elif not head.startswith(_LEGACY):
        raise InputError(f"{path} is not a PyTorch checkpoint: {_what(head)}.", _AGAIN)
    return _parts(path, _load(path, mapped=head.startswith(b"PK")))


def check_archive(path: Path, size: int, limit: int) -> None:
    """Check the directory and the checksums of a zip archive before anything is unpacked.

    ``torch.save`` never compresses, so the sizes in the directory cannot add up to more than the file.

    Parameters
    ----------
    path : Path
        The archive.
    size : int
        Size of the file, bytes.
    limit : int
        Largest allowed size of the unpacked contents, bytes.

    Raises
    ------
    InputError
        The archive is cut off, damaged, compressed, not written by PyTorch, or has too many or too large entries.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, size, limit)
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is cut off or damaged ({error}).", _AGAIN) from error
    if damaged:
        raise InputError(f"{path} is damaged: the checksum of its part {damaged} is wrong.", _AGAIN)


def _check_entries(path: Path, entries: Sequence[zipfile.ZipInfo], size: int, limit: int) -> None:
    """Check number, sizes and names of the entries of an archive."""
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{path} has {len(entries)} parts; a checkpoint has at most {MAX_ENTRIES}.")
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise InputError(f"{path} ({_size(size)}) would unpack to {_size(total)}, the limit is {_size(limit)}.")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size for entry in entries):
        raise InputError(
            f"{path} is a compressed archive; PyTorch does not compress its checkpoints.",
            "If the checkpoint is inside, unpack it first.",
        )
    if total > size:
        raise InputError(f"{path} has {_size(size)}, but its parts claim {_size(total)}: they overlap.", _AGAIN)
    pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or len({entry.filename for entry in entries}) < len(entries):
        raise InputError(f"{path} is a zip archive, but not one that PyTorch writes.", "Expected a checkpoint file.")
    if pickles[0].file_size > MAX_PICKLE:
        raise InputError(
            f"{path}: its list of contents has {_size(pickles[0].file_size)}, the limit is {_size(MAX_PICKLE)}."
        )


class _NumberType:
    """Replaces ``numpy.dtype`` while a file is read."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Ignore the byte order and other state: numbers are taken as little-endian, the order of training machines."""


def _number(kind: _NumberType, data: object = b"") -> float | int | None:
    """Replaces NumPy's scalars while a file is read; None for anything but a plain number."""
    code = kind.code if isinstance(kind, _NumberType) else ""
    if code not in _NUMBERS or not isinstance(data, bytes) or len(data) != np.dtype(f"<{code}").itemsize:
        return None
    value: float | int = np.frombuffer(data, f"<{code}")[0].item()
    return value


# The names under which NumPy 1 and 2 save a number, each with a replacement that can only make numbers.
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (_NumberType, "numpy.dtype"),
]


def _load(path: Path, mapped: bool) -> object:
    """The contents of a file, loaded by PyTorch without executing anything."""
    try:
        with torch.serialization.safe_globals(_ALLOWED), utf8_path(path) as readable:
            return torch.load(readable, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise InputError(
                f"{path} asks to run code ({code[1].rstrip(',.')}), it holds more than weights. Nothing was run.",
                "Published checkpoints hold tensors and numbers only; do not use this file.",
            ) from error
        raise InputError(f"{path} is damaged or not a PyTorch checkpoint.", _AGAIN) from error
    except MemoryError as error:
        raise InputError(f"{path} claims more than fits into memory.", _AGAIN) from error
    except Exception as error:  # a crafted file can cause any exception in the reader
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"{path} is cut off, damaged or not a PyTorch checkpoint ({reason}).", _AGAIN) from error


def _parts(path: Path, content: object) -> Checkpoint:
    """The network's tensors, from the dictionary that the authors save or from a bare state_dict."""
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dictionary of tensors.")
    whole: dict[Any, Any] = content
    state = whole.get("model", whole)
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        raise InputError(f'{path} holds no network: expected tensors by name, or such a dictionary as its "model".')
    for name, value in state.items():
        if not _is_plain(value):
            raise InputError(f"{path}: {name} is not a plain tensor but {type(value).__name__}.", _AGAIN)
    if state is whole:
        return Checkpoint(dict(state))
    return Checkpoint(
        dict(state), _count(whole.get("it")), _count(whole.get("epoch_it")), _finite(whole.get("loss_val_best"))
    )


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor with numbers: not on the device "meta", not sparse, not quantized."""
    if not isinstance(value, Tensor):
        return False
    return value.device.type == "cpu" and value.layout == torch.strided and not value.is_quantized


def _finite(value: object) -> float | None:
    """The value as a float, or None if it is not a finite number."""
    if isinstance(value, Tensor):
        value = value.item() if _is_plain(value) and value.numel() == 1 else None
    if isinstance(value, int) and abs(value) >= 1 << 53:  # no plausible number, and perhaps none that fits into a float
        return None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _count(value: object) -> int | None:
    """The value as a count, or None if it is not a plausible one."""
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else None


def _what(head: bytes) -> str:
    """Description of a file that is no checkpoint, by its first bytes."""
    if not head:
        return "it is empty"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "it is a safetensors file, perhaps imported already"
    text = head.decode("utf-8", errors="ignore")
    if text.strip() and text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return f"it is a text file that begins with {text.splitlines()[0][:40]!r}, perhaps a download page"
    return f"it begins with {head[:4].hex(' ')}"


def _size(count: int) -> str:
    """A number of bytes in a readable unit."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"
