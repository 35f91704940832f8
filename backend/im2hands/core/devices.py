"""The devices that PyTorch can compute on, the choice of one, and the number of processor threads."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from .errors import InputError, SetupError
from .gpu import gpu_problem

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")
"""Linux: the file that lists the control groups of this process."""

CGROUP_MOUNT = Path("/sys/fs/cgroup")
"""Linux: the folder where control groups are mounted."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """A device that PyTorch can compute on.

    Parameters
    ----------
    name : str
        The name that ``--device`` takes, for example ``cuda:0``.
    description : str
        Model and memory or cores, for a person.
    """

    name: str
    description: str


def list_devices() -> list[Device]:
    """List the devices that PyTorch can use on this machine.

    Returns
    -------
    list of Device
        GPUs first, the processor last.
    """
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
    # Elsewhere than on Windows, platform.processor() runs the program uname.
    name = (platform.processor() if os.name == "nt" else "") or platform.machine()
    cores = granted_cores()
    words = f"{name} processor, {cores} core{'s' if cores != 1 else ''}"
    if threads != cores:
        words += f" ({threads} used)"
    return [*found, Device("cpu", words)]


def usable_devices() -> list[Device]:
    """List the devices on which PyTorch computes, after a trial. What is wrong with the others goes to the log.

    Returns
    -------
    list of Device
        GPUs first, the processor last.
    """
    import torch

    found = []
    for device in list_devices():
        problem = None if device.name == "cpu" else gpu_problem(torch.device(device.name))
        if problem is None:
            found.append(device)
        else:
            _log_refused(problem)
    return found


def exact_dtype(device: torch.device) -> torch.dtype:
    """Return the floating-point type in which geometry is computed on a device.

    Parameters
    ----------
    device : torch.device
        The device.

    Returns
    -------
    torch.dtype
        float64; float32 on Metal, which has no float64.
    """
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


def to_device(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device; float64 becomes float32 before the copy where the device has no float64.

    Parameters
    ----------
    value : Tensor
        The tensor.
    device : torch.device
        The device.

    Returns
    -------
    Tensor
        The tensor on the device.
    """
    import torch

    exact = value.to(exact_dtype(device)) if value.dtype == torch.float64 else value
    return exact.to(device)


def to_device_together(values: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy small tensors to a device in one transfer, as each transfer waits for the device.

    Parameters
    ----------
    values : sequence of Tensor
        Tensors on the processor, of one floating-point type.
    device : torch.device
        The device.

    Returns
    -------
    list of Tensor
        The tensors on the device; float64 became float32 where the device has no float64.
    """
    import torch

    if device.type == "cpu":
        return list(values)
    whole = to_device(torch.cat([value.reshape(-1) for value in values]), device)
    parts = whole.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a constant as a tensor that is copied to its device once.

    Parameters
    ----------
    values : tuple of float or int
        The numbers.
    device : torch.device
        The device.
    dtype : torch.dtype
        Type of the tensor.

    Returns
    -------
    (N,) Tensor
        The numbers. Nothing may be written into it.
    """
    import torch

    with torch.inference_mode(False):  # else no later training could use it
        return torch.tensor(values, dtype=dtype, device=device)


def granted_cores() -> int:
    """Count the processor cores that this process may use.

    The count is limited by the process's CPU affinity and by the CPU quota of its control group (containers, batch
    queues). A quota of 2.5 cores counts as 2.

    Returns
    -------
    int
        1 or more.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count()
    quota = _cpu_quota()
    return max(1, min(count or 1, int(quota) if quota is not None else count or 1))


def limit_threads(threads: int = 0) -> None:
    """Set the number of threads that PyTorch uses on the processor.

    PyTorch counts the machine's cores and does not know of a CPU quota. If there are more threads than granted cores,
    they wait for each other.

    Parameters
    ----------
    threads : int
        Number of threads. 0: the number that PyTorch chose, but at most :func:`granted_cores`.
    """
    import torch

    wanted = threads or min(torch.get_num_threads(), granted_cores())
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


def _cpu_quota() -> float | None:
    """Return the number of cores that this process's control group grants; None without a quota or outside Linux."""
    try:
        lines = CGROUP_MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    quotas = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2
            quotas += [_quota_v2(folder / "cpu.max") for folder in _with_parents(CGROUP_MOUNT, group)]
        elif "cpu" in controllers.split(","):
            for mount in dict.fromkeys((controllers, "cpu")):
                quotas += [_quota_v1(folder) for folder in _with_parents(CGROUP_MOUNT / mount, group)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _with_parents(mount: Path, group: str) -> list[Path]:
    """Return the folders of a control group and of all groups that contain it; the smallest quota applies.

    In a container the group's path is often that of the host. Folders that do not exist here have no quota file.
    """
    inner = PurePosixPath(group.strip("/"))
    return [mount / part for part in (inner, *inner.parents) if ".." not in part.parts]


def _quota_v2(path: Path) -> float | None:
    """Read a file ``cpu.max`` (microseconds of CPU time or "max", and of the period) as a quota in cores, or None."""
    try:
        allowed, period = path.read_text(encoding="utf-8").split()
        return float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    """Read the quota in cores from ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``; None if there is none (-1)."""
    try:
        allowed, period = (float((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return allowed / period if allowed > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def choose_device(name: str = "auto", refused: Callable[[SetupError], None] | None = None) -> torch.device:
    """Return the device of a given name. A graphics card is tried with a small kernel first.

    Parameters
    ----------
    name : str
        "auto" (the first CUDA GPU that works, else the processor), "cpu", "cuda", "cuda:1" or "mps".
    refused : callable, optional
        Called with what is wrong if "auto" takes the processor although there is a card. None logs it.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    InputError
        There is no such name.
    SetupError
        This machine has no such device, or PyTorch cannot compute on it.
    """
    import torch

    if name == "auto":
        return _fastest(refused or _log_refused)
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise InputError(f'There is no device called "{name}".', "Use auto, cpu, cuda, cuda:1 or mps.")
    device = torch.device(name)
    problem = None if kind == "cpu" else gpu_problem(device)
    if problem is not None:
        raise problem
    return device


def _fastest(refused: Callable[[SetupError], None]) -> torch.device:
    """The device of "auto". It is never Metal, whose results are not measured, and which lacks float64."""
    import torch

    if torch.version.cuda is None and not torch.cuda.is_available():
        return torch.device("cpu")  # this PyTorch is meant for the processor: nothing was refused
    problems = []
    for number in range(max(torch.cuda.device_count(), 1)):
        device = torch.device(f"cuda:{number}" if number else "cuda")
        problem = gpu_problem(device)
        if problem is None:
            return device
        problems.append(problem)
    if "cannot be used" in problems[0].message:
        refused(SetupError(f"{problems[0].message} The processor is used.", problems[0].hint))
    return torch.device("cpu")


def _log_refused(problem: SetupError) -> None:
    _log.warning("%s", problem)
