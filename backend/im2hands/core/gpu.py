"""Graphics cards: whether this PyTorch can compute on one, and if not, why and what to do."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import FrameError, SetupError

if TYPE_CHECKING:
    import torch

USE_ANOTHER = "Use --device cpu, or auto."
NVML = {"win32": "nvml.dll", "linux": "libnvidia-ml.so.1"}
"""NVIDIA's management library, which comes with the driver, by ``sys.platform``."""

_TEXT_BYTES = 96  # NVML's own limits are 80 for a version and 96 for a name
_SIDE = 8  # of the matrices of the trial
_PROCESSOR_MEMORY = 8 * 2**30
_BFLOAT16_CAPABILITY = 8  # NVIDIA cards from Ampere on
_FULL = "Close other programs that use the card, give --batch 1 or larger voxels, or use --device cpu."
# What PyTorch's messages of a device that stopped begin with or hold.
_FAILURES = {
    "cuda": ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "CUDNN_STATUS", "HIP error"),
    "mps": ("MPS", "Metal"),
}


@dataclass(frozen=True)
class Card:
    """A graphics card.

    Parameters
    ----------
    name : str
        Its name; empty if it is not known.
    capability : tuple of (int, int), optional
        CUDA's compute capability; None if it is not known.
    driver : str
        Version of its driver; empty if it is not known.
    """

    name: str = ""
    capability: tuple[int, int] | None = None
    driver: str = ""

    def __str__(self) -> str:
        """Name, compute capability and driver, as far as they are known."""
        facts = [f"compute capability {_dotted(self.capability)}"] if self.capability else []
        facts += [f"driver {self.driver}"] if self.driver else []
        known = f" ({', '.join(facts)})" if facts else ""
        return f"NVIDIA card {self.name.removeprefix('NVIDIA ')}".strip() + known


def nvidia_cards() -> list[Card]:
    """List the NVIDIA cards that the driver knows, also those that PyTorch cannot use.

    Returns
    -------
    list of Card
        The cards; none without a driver.
    """
    try:
        library = ctypes.CDLL(NVML[sys.platform])
    except (KeyError, OSError):
        return []
    try:
        if library.nvmlInit_v2():
            return []
        try:
            return _cards_of(library)
        finally:
            library.nvmlShutdown()
    except AttributeError:  # a driver older than this interface
        return []


def _cards_of(library: Any) -> list[Card]:
    """Ask NVIDIA's management library, which is initialised. Its functions return 0 for success."""
    text, count = ctypes.create_string_buffer(_TEXT_BYTES), ctypes.c_uint()
    driver = "" if library.nvmlSystemGetDriverVersion(text, _TEXT_BYTES) else text.value.decode("utf-8", "replace")
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return []
    found = []
    for number in range(count.value):
        handle, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
        if library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)):
            continue
        name = "" if library.nvmlDeviceGetName(handle, text, _TEXT_BYTES) else text.value.decode("utf-8", "replace")
        failed = library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
        found.append(Card(name, None if failed else (major.value, minor.value), driver))
    return found


def gpu_problem(device: torch.device) -> SetupError | None:
    """Find out why PyTorch cannot compute on a graphics card, by computing something on it.

    ``torch.cuda.is_available()`` is true also for a card for which this PyTorch has no kernels. Only a kernel shows it.

    Parameters
    ----------
    device : torch.device
        A device of type "cuda" or "mps".

    Returns
    -------
    SetupError or None
        What is wrong, with the card, its compute capability and its driver; None if the device computes.
    """
    import torch

    if device.type == "mps":
        if not torch.backends.mps.is_available():
            mac = sys.platform == "darwin"
            reason = "PyTorch finds no Metal on this Mac" if mac else "this is no Mac with an Apple GPU"
            return SetupError(f"The device mps is not there: {reason}.", USE_ANOTHER)
        problem = _trial(device)
        words = f"The Apple GPU cannot be used by this PyTorch: {problem}."
        return None if problem is None else SetupError(words, USE_ANOTHER)
    if not torch.cuda.is_available():
        return _no_cuda(device)
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        return SetupError(f"The device {device} is not there: GPUs are counted from 0 to {count - 1}.", "Use auto.")
    problem = _trial(device)
    return None if problem is None else _unusable(_card(device), problem)


def free_memory(device: torch.device) -> int:
    """Return the bytes of a device's memory that this process may still fill with tensors.

    Parameters
    ----------
    device : torch.device
        The device. For the processor a fixed size is returned.
    """
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.current_allocated_memory())
    return _PROCESSOR_MEMORY


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device, not the current one, multiplies bfloat16 in hardware. Metal and emulation do not count.

    Parameters
    ----------
    device : torch.device
        The device.
    """
    import torch

    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if device.type != "cuda":
        return False
    if torch.version.hip is not None:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return int(torch.cuda.get_device_properties(device).major) >= _BFLOAT16_CAPABILITY


def compute_exactly() -> None:
    """Let NVIDIA cards compute products and convolutions in float32, as older cards and the processor do.

    PyTorch computes convolutions in TF32 otherwise, which keeps three digits.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def device_failure(error: BaseException, device: str) -> SetupError | None:
    """Return the error for a device that stopped working, or that lacks an operation; None if it is something else.

    Parameters
    ----------
    error : BaseException
        What PyTorch raised.
    device : str
        The device of the networks.
    """
    kind, words = device.partition(":")[0], str(error)
    if kind == "cpu" or not isinstance(error, RuntimeError):  # NotImplementedError is one
        return None
    if is_out_of_memory(error):
        return SetupError(f"The memory of the device {device} is too small.", _FULL)
    if "not currently implemented for the MPS device" in words or isinstance(error, NotImplementedError):
        hint = "Use --device cpu, or a newer PyTorch. PYTORCH_ENABLE_MPS_FALLBACK=1 lets the processor help out."
        return SetupError(f"PyTorch lacks an operation on the device {device}: {_first_line(error)}.", hint)
    if type(error).__name__ != "AcceleratorError" and not any(sign in words for sign in _FAILURES[kind]):
        return None
    return SetupError(
        f"The device {device} stopped: {_first_line(error)}.",
        "Finished frames are kept: run the same command again, or with --device cpu.",
    )


def memory_error(error: BaseException, name: str) -> FrameError:
    """Return the error of a frame for which the memory does not suffice.

    Parameters
    ----------
    error : BaseException
        What was raised; it is raised again if it is something else.
    name : str
        Name of the frame.

    Returns
    -------
    FrameError
        The error.
    """
    if not is_out_of_memory(error):
        raise error
    return FrameError(
        f"{name}: there is not enough memory for this frame.",
        "Make the voxels larger (--voxel-mm) or compute on the processor (--device cpu).",
    )


def release_memory() -> None:
    """Give memory that PyTorch keeps for later tensors back to the graphics card."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: the processor's, CUDA's or Metal's.

    Parameters
    ----------
    error : BaseException
        The error.
    """
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def _trial(device: torch.device) -> str | None:
    """Multiply matrices and index on a device, as the networks do; return why that fails, None if it does not."""
    import torch

    try:
        ones = torch.ones(_SIDE, _SIDE, device=device)
        product = ones @ ones
        total = float(product[product > 0].sum())
    except (RuntimeError, AssertionError, OSError) as error:  # missing kernels, drivers, memory, libraries
        return _first_line(error)
    return None if total == _SIDE**3 else f"8 x 8 ones multiplied give {total:g}"


def _no_cuda(device: torch.device) -> SetupError:
    """The error where ``torch.cuda.is_available()`` is false: built without CUDA, an old driver, or no card."""
    import torch

    cards, hidden = nvidia_cards(), "CUDA_VISIBLE_DEVICES" in os.environ
    if torch.version.cuda is None:
        there = f" This machine has the {cards[0]}." if cards else ""
        hint = "Install a PyTorch for CUDA (pytorch.org), or use --device cpu." if cards else USE_ANOTHER
        return SetupError(f"The device {device} is not there: this PyTorch was built without CUDA.{there}", hint)
    reason = _first_line(_start_error())
    if cards and not hidden:
        return _unusable(cards[0], reason)
    if "driver" in reason and "too old" in reason:
        return _unusable(Card(), reason)
    words = "CUDA_VISIBLE_DEVICES hides the NVIDIA cards" if cards else "PyTorch finds no NVIDIA card and driver"
    return SetupError(f"The device {device} is not there: {words}.", USE_ANOTHER)


def _start_error() -> BaseException:
    """The error with which CUDA does not start."""
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError, OSError) as error:
        return error
    return RuntimeError("CUDA finds no card that it supports")


def _unusable(card: Card, problem: str) -> SetupError:
    """The error for a card that is there, with a hint that fits the cause."""
    import torch

    built = sorted(_built_for(torch.cuda.get_arch_list()))
    own, hint = card.capability, "Update the NVIDIA driver, or use --device cpu."
    cuda = f"CUDA {torch.version.cuda}"
    if "driver" in problem and ("too old" in problem or "insufficient" in problem):
        problem = f"the driver is too old for {cuda}, which this PyTorch was built for"
    elif "out of memory" in problem:
        problem, hint = "its memory is full", "Close other programs that use the card, or use --device cpu."
    elif own and built and own < built[0]:
        problem = f"it is too old; this PyTorch ({cuda}) needs compute capability {_dotted(built[0])} or more"
        hint = "Use --device cpu, or a PyTorch for an older CUDA that still supports the card (pytorch.org)."
    elif own and built and own > built[-1] and "no kernel image" in problem:
        problem = f"it is newer than this PyTorch ({cuda}), which goes up to compute capability {_dotted(built[-1])}"
        hint = "Install a newer PyTorch, or use --device cpu."
    return SetupError(f"The {card} cannot be used by this PyTorch: {problem}.", hint)


def _card(device: torch.device) -> Card:
    """The card of a CUDA device. NVML may count the cards in another order, so it tells of the driver only."""
    import torch

    properties = torch.cuda.get_device_properties(device.index or 0)
    drivers = {card.driver for card in nvidia_cards()}
    return Card(properties.name, (properties.major, properties.minor), next(iter(drivers), ""))


def _built_for(architectures: Sequence[str]) -> list[tuple[int, int]]:
    """Compute capabilities of a list such as ``["sm_75", "sm_120", "compute_120"]``."""
    numbers = [name.partition("_")[2].rstrip("abcdefghijklmnopqrstuvwxyz") for name in architectures]
    return [(int(number[:-1]), int(number[-1])) for number in numbers if number.isdigit() and len(number) > 1]


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
