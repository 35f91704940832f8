"""Reading a foreign PyTorch checkpoint: nothing in it is run, and its size is known before it is read."""

from __future__ import annotations

import math
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

MAX_ENTRIES = 20_000
MAX_PICKLE = 16 << 20
_LEGACY = b"\x80\x02"  # PyTorch before 1.6 wrote a row of pickles
_NUMBERS = ("f2", "f4", "f8", "i2", "i4", "i8")
_AGAIN = "Download it again."


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        state: the network's tensors by name, as in the file; they may still be on disk. iteration, epoch: of the
            training, if given. best: its best validation value, if given and finite.
    """

    state: dict[str, Tensor]
    iteration: int | None = None
    epoch: int | None = None
    best: float | None = None


def read_checkpoint(path: Path, limit: int) -> Checkpoint:
    """Read a file of ``torch.save`` without running anything in it.

    Args:
        limit: bytes that the file, and what it claims to contain, can have at most.

    Raises:
        InputError: the file is missing, not a checkpoint, cut off, damaged, too large, or holds more than data.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError(f"{path} is a folder.", "Give the checkpoint files in it.")
        with open(path, "rb") as handle:
            head = handle.read(64)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
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
    """Check the directory of a zip archive, and the checksums, before anything is unpacked.

    ``torch.save`` never compresses, so what the directory promises cannot be more than the file itself.

    Raises:
        InputError: cut off, damaged, compressed, too many or too large entries, not written by PyTorch.
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
    """Stands in for ``numpy.dtype`` while a file is read."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """The byte order and the like: the numbers below are little-endian, as on every machine that trains."""


def _number(kind: _NumberType, data: object = b"") -> float | int | None:
    """Stands in for NumPy's scalars while a file is read; None for everything that is no plain number."""
    code = kind.code if isinstance(kind, _NumberType) else ""
    if code not in _NUMBERS or not isinstance(data, bytes) or len(data) != np.dtype(f"<{code}").itemsize:
        return None
    value: float | int = np.frombuffer(data, f"<{code}")[0].item()
    return value


# The names under which NumPy 1 and 2 save a number, each with something of ours that can only make numbers.
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
    (_NumberType, "numpy.dtype"),
]


def _load(path: Path, mapped: bool) -> object:
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise InputError(
                f"{path} asks to run code ({asked[1].rstrip(',.')}), it holds more than weights. Nothing was run.",
                "Published checkpoints hold tensors and numbers only; do not use this file.",
            ) from error
        raise InputError(f"{path} is damaged or not a PyTorch checkpoint.", _AGAIN) from error
    except MemoryError as error:
        raise InputError(f"{path} claims more than fits into memory.", _AGAIN) from error
    except Exception as error:  # whatever a made-up file makes the reader stumble over
        reason = (str(error).splitlines() or [""])[0][:200]
        raise InputError(f"{path} is cut off, damaged or not a PyTorch checkpoint ({reason}).", _AGAIN) from error


def _parts(path: Path, content: object) -> Checkpoint:
    """The network's tensors, from the dictionary the authors save or from a bare state_dict."""
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, expected a dictionary of tensors.")
    whole: dict[Any, Any] = content
    state = whole.get("model", whole)
    if not isinstance(state, dict) or not state or not all(isinstance(name, str) for name in state):
        raise InputError(f'{path} holds no network: expected tensors by name, or such a dictionary as its "model".')
    for name, value in state.items():
        plain = isinstance(value, Tensor) and value.device.type == "cpu" and value.layout == torch.strided
        if not plain or value.is_quantized:
            raise InputError(f"{path}: {name} is not a plain tensor but {type(value).__name__}.", _AGAIN)
    if state is whole:
        return Checkpoint(dict(state))
    return Checkpoint(
        dict(state), _count(whole.get("it")), _count(whole.get("epoch_it")), _finite(whole.get("loss_val_best"))
    )


def _finite(value: object) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else None


def _what(head: bytes) -> str:
    """What the first bytes of a file that is no checkpoint look like."""
    if not head:
        return "it is empty"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "it is a safetensors file, perhaps imported already"
    text = head.decode("utf-8", errors="ignore")
    if text.strip() and text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return f"it is a text file that begins with {text.splitlines()[0][:40]!r}, perhaps a download page"
    return f"it begins with {head[:4].hex(' ')}"


def _size(count: int) -> str:
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} bytes"
