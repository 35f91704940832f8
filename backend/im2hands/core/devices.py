"""What can compute here, in plain words, and the choice among it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import InputError, SetupError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """Something that can compute: ``name`` as ``--device`` takes it, ``description`` for a person."""

    name: str
    description: str


def list_devices() -> list[Device]:
    """All devices PyTorch can use here, the processor last."""
    import torch

    found = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            memory = properties.total_memory / 2**30
            found.append(Device(f"cuda:{number}", f"{properties.name}, {memory:.0f} GB"))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU (Metal)"))
    threads = torch.get_num_threads()
    name = platform.processor() or platform.machine()
    cores = usable_cores()
    words = f"{name} processor, {cores} core{'s' if cores != 1 else ''}"
    if threads != cores:
        words += f" ({threads} used)"
    return [*found, Device("cpu", words)]


def exact_dtype(device: torch.device) -> torch.dtype:
    """The type that geometry is computed in on a device: float64, or float32 on Metal, which has no other."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def usable_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name.

    Args:
        name: "auto" (a CUDA GPU if there is one, else the processor), "cpu", "cuda", "cuda:1", "mps".

    Raises:
        InputError: no such name. SetupError: this machine has no such device.
    """
    import torch

    if name == "auto":
        # Metal is not chosen by itself: its results are not measured, and see exact_dtype.
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f'There is no device called "{name}".', "Use auto, cpu, cuda, cuda:1 or mps.")
    if kind == "cuda":
        if not torch.cuda.is_available():
            built = torch.version.cuda is not None
            reason = "PyTorch finds no NVIDIA GPU" if built else "this PyTorch was built without CUDA"
            raise SetupError(f"The device {name} is not there: {reason}.", "Use --device cpu, or auto.")
        if number and int(number) >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise SetupError(f"The device {name} is not there: GPUs are counted from 0 to {count - 1}.", "Use auto.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SetupError("The device mps is not there: this is no Mac with an Apple GPU.", "Use --device cpu, or auto.")
    return torch.device(name)
