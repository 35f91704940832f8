"""A pretended GPU: tensors stay in the processor's memory and are treated as if they lay on ``cuda:0`` or ``mps:0``.

A real device refuses what the processor allows: operations between tensors of two devices, ``numpy()`` without
``cpu()``, float64 on Metal. Without that device no other test would notice. Here every tensor's memory carries the
device that it is said to lie on:

* A function mode sees the calls from Python: copies between devices, ``device=``, ``tensor.device``.
* A dispatch mode sees every operation, also those of a backward pass. It refuses what the device would refuse, marks
  the results, and counts kernels and waits.

The numbers are the processor's. Kernels, memory, speed and the rounding of a real device are not simulated, nor are
operations that a device lacks. Both modes hold for the thread that entered them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CPU = torch.device("cpu")
MEMORY = 8 * 2**30
"""Bytes of memory of the pretended card."""

BUILT_FOR = ("sm_75", "sm_80", "sm_90", "sm_120", "compute_120")
"""What PyTorch's kernels are said to be compiled for."""

_ATEN = torch.ops.aten
_MARK = "pretended_device"
_COPIES = {_ATEN.copy_, _ATEN._foreach_copy_}
_INDEXED = {_ATEN.index, _ATEN.index_put_, _ATEN.index_put, _ATEN._index_put_impl_}
# Operations whose result's shape or value the processor needs: it waits until the device has finished.
_WAITING = {
    _ATEN._local_scalar_dense, _ATEN.nonzero, _ATEN.masked_select, _ATEN.bincount, _ATEN._unique2, _ATEN.equal,
    _ATEN.unique_dim, _ATEN.unique_consecutive,
}  # fmt: skip
_FILLS = {_ATEN.fill_, _ATEN.fill, _ATEN.masked_fill, _ATEN.masked_fill_, _ATEN.index_fill, _ATEN.index_fill_}
_SHOWN = 12  # tensors that an error names
_UNCOUNTED = {_ATEN.detach, _ATEN.alias, _ATEN.lift_fresh, _ATEN._unsafe_view}
_UPLOADS = (torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor)
_BACKWARD = (torch.Tensor.backward, torch.autograd.grad, torch.autograd.backward)
_TYPES = {
    torch.Tensor.is_cuda.__get__: "cuda",
    torch.Tensor.is_mps.__get__: "mps",
    torch.Tensor.is_cpu.__get__: "cpu",
}


class DeviceError(RuntimeError):
    """Something that the pretended device would refuse."""


def device_of(tensor: Tensor) -> torch.device:
    """Return the device that a tensor is said to lie on."""
    with torch._C.DisableTorchFunction():
        return getattr(tensor.untyped_storage(), _MARK, CPU)


def _mark(tensor: Tensor, device: torch.device) -> Tensor:
    with torch._C.DisableTorchFunction():
        if device.type == "mps" and tensor.dtype in (torch.float64, torch.complex128):
            raise DeviceError("Cannot convert a MPS Tensor to float64: the MPS framework has no float64.")
        storage = tensor.untyped_storage()
        if device != CPU or hasattr(storage, _MARK):
            setattr(storage, _MARK, device)
    return tensor


def _whole(device: Any) -> torch.device:
    """The device with its number, as ``tensor.device`` gives it."""
    device = torch.device(device)
    return CPU if device.type == "cpu" else torch.device(device.type, device.index or 0)


class _Move(torch.autograd.Function):
    """A copy to another device; the gradient goes back to the first."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        context.back = device_of(tensor), tensor.dtype
        return _moved(tensor, device, dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _moved(gradient, *context.back), None, None


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy in another device's memory.

    Metal converts before it sends, and it would convert to float64 itself on the way back: so it refuses that.
    """
    here = device_of(tensor)
    if here.type == "mps" and dtype in (torch.float64, torch.complex128):
        raise DeviceError("Cannot convert a MPS Tensor to float64: use cpu() before double().")
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        copy = tensor.detach().to(dtype, copy=True)
    return _mark(copy, device)


class _Operations(TorchDispatchMode):
    """Marks, refuses and counts operations."""

    def __init__(self, kernels: Counter[str], waits: Counter[str], fails: str) -> None:
        super().__init__()
        self._kernels, self._waits, self._fails = kernels, waits, fails
        self.made_on = CPU
        """Where an operation without tensors makes its result: in a backward pass, on the device of the loss."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        with torch._C.DisableTorchFunction():
            device = self._device(function, arguments, named)
            if device != CPU and self._fails:
                raise RuntimeError(self._fails)
            result = function(*arguments, **named)
            if device == CPU:
                return result
            packet = function.overloadpacket
            if packet in _WAITING:
                self._waits[packet.__name__] += 1
            if not function.is_view and packet not in _UNCOUNTED:
                self._kernels[packet.__name__] += 1
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    _mark(leaf, device)
            return result

    def _device(self, function: Any, arguments: Any, named: Any) -> torch.device:
        """The device of an operation; raises DeviceError where its tensors lie on several."""
        packet = function.overloadpacket
        tensors = [leaf for leaf in tree_leaves((arguments, named)) if isinstance(leaf, Tensor)]
        devices = {device_of(tensor) for tensor in tensors}
        if len(devices) < 2:
            (device,) = devices or {self.made_on}
            if device != CPU and packet in _INDEXED and _by_truth(arguments):
                self._waits["index by truth values"] += 1
            return device
        if packet in _COPIES:
            self._waits["copy between devices"] += 1
            return device_of(tensors[0])
        if packet in _INDEXED and isinstance(arguments[1], list | tuple):
            own = {device_of(leaf) for leaf in (arguments[0], *arguments[2:3]) if leaf.dim()}
            if len(own) < 2:  # the index may come from the processor
                self._waits["index from the processor"] += 1
                return device_of(arguments[0])
        numbers = [tensor for tensor in tensors if tensor.dim() == 0 and device_of(tensor) == CPU]
        left = {device_of(tensor) for tensor in tensors if not any(tensor is number for number in numbers)}
        # PyTorch moves the number of a "foreach" operation to the device that it reads in C++: there the processor.
        pointwise = torch.Tag.pointwise in function.tags or packet in _FILLS or packet.__name__.startswith("_foreach")
        if pointwise and len(left) == 1:
            return left.pop()
        seen = ", ".join(sorted({f"{tuple(tensor.shape)} on {device_of(tensor)}" for tensor in tensors})[:_SHOWN])
        raise DeviceError(f"{function}: expected all tensors to be on the same device, but found {seen}.")


def _by_truth(arguments: Any) -> bool:
    index = arguments[1] if isinstance(arguments[1], list | tuple) else ()
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in index)


class _Functions(TorchFunctionMode):
    """Answers what Python code asks of a tensor's device, and moves tensors."""

    def __init__(self, operations: _Operations, waits: Counter[str]) -> None:
        super().__init__()
        self._operations, self._waits = operations, waits

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        if function == torch.Tensor.device.__get__:
            return device_of(arguments[0])
        if function in _TYPES:
            return device_of(arguments[0]).type == _TYPES[function]
        if function in (torch.Tensor.numpy, torch.Tensor.__array__):
            if device_of(arguments[0]) != CPU:
                raise DeviceError(f"can't convert {device_of(arguments[0])} tensor to numpy. Use Tensor.cpu() first.")
        elif function is torch.Tensor.tolist and device_of(arguments[0]) != CPU:
            self._waits["tolist"] += 1
        elif function is torch.Tensor.double and device_of(arguments[0]).type == "mps":
            raise DeviceError("Cannot convert a MPS Tensor to float64: use cpu() before double().")
        elif function is torch.Tensor.cpu:
            return self._to(arguments[0], CPU)
        elif function is torch.Tensor.to:
            return self._parsed_to(function, arguments, named)
        elif function in _BACKWARD:
            return self._backward(function, arguments, named)
        elif function is torch.Tensor.__deepcopy__:
            return _mark(function(*arguments, **named), device_of(arguments[0]))
        if function is torch.Tensor.new_tensor:
            named.setdefault("device", device_of(arguments[0]))
        if named.get("device") is None:
            return function(*arguments, **named)
        device = _whole(named.pop("device"))
        if device != CPU and named.get("generator") is not None:
            raise DeviceError(f"Expected a '{device.type}' device type for generator but found 'cpu'.")
        if function in (torch.as_tensor, torch.asarray) and isinstance(arguments[0], Tensor):
            return self._to(arguments[0], device, named.get("dtype"))
        if device != CPU and function in _UPLOADS:
            self._waits["upload of numbers"] += 1
        return tree_map(
            lambda leaf: _mark(leaf, device) if isinstance(leaf, Tensor) else leaf,
            function(*arguments, **named, device=CPU),
        )

    def _backward(self, function: Any, arguments: Any, named: Any) -> Any:
        first = next(leaf for leaf in tree_leaves((arguments, named)) if isinstance(leaf, Tensor))
        self._operations.made_on = device_of(first)
        try:
            return function(*arguments, **named)
        finally:
            self._operations.made_on = CPU

    def _parsed_to(self, function: Any, arguments: Any, named: Any) -> Any:
        tensor, *rest = arguments
        other = rest[0] if rest else named.get("other")
        if isinstance(other, Tensor):
            device, dtype = device_of(other), other.dtype
        else:
            asked, dtype, *_ = torch._C._nn._parse_to(*rest, **{k: v for k, v in named.items() if k != "copy"})
            device = device_of(tensor) if asked is None else _whole(asked)
        if device != device_of(tensor):
            return self._to(tensor, device, dtype)
        left = {name: value for name, value in named.items() if name in ("copy", "memory_format")}
        if device.type == "mps" and dtype == torch.float64:
            raise DeviceError("Cannot convert a MPS Tensor to float64: the MPS framework has no float64.")
        return function(tensor, dtype or tensor.dtype, **left)

    def _to(self, tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        here = device_of(tensor)
        if here == device and (dtype is None or dtype == tensor.dtype):
            return tensor
        self._waits[f"copy from {here.type} to {device.type}"] += 1
        result: Tensor = _Move.apply(tensor, device, dtype or tensor.dtype)  # type: ignore[no-untyped-call]
        return result


class PretendedDevice:
    """What happened on a pretended device.

    Parameters
    ----------
    device : torch.device
        The device, with its number.

    Attributes
    ----------
    kernels : Counter of str
        Operations on the device, by name. Views of a tensor are not counted.
    waits : Counter of str
        Occasions on which the processor waits for the device, or copies something to it or from it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()


@contextmanager
def pretended_device(
    name: str, *, count: int = 1, bfloat16: bool = False, capability: tuple[int, int] = (7, 5), fails: str = ""
) -> Iterator[PretendedDevice]:
    """Pretend that this machine has a device.

    Parameters
    ----------
    name : str
        ``cuda:0`` or ``mps:0``.
    count : int
        Number of CUDA cards.
    bfloat16 : bool
        Whether the card multiplies bfloat16 in hardware.
    capability : tuple of (int, int)
        Compute capability of the CUDA cards.
    fails : str
        The error of every kernel; empty for kernels that work.

    Yields
    ------
    PretendedDevice
        The device, and what happens on it.
    """
    made = PretendedDevice(_whole(name))
    cuda = made.device.type == "cuda"
    major, minor = (8, 0) if bfloat16 else capability
    properties = SimpleNamespace(name="NVIDIA Pretended 1", total_memory=MEMORY, major=major, minor=minor)
    answers = {
        "is_available": cuda, "device_count": count if cuda else 0, "get_device_properties": properties,
        "empty_cache": None, "get_arch_list": list(BUILT_FOR),
        "mem_get_info": (MEMORY, MEMORY), "memory_reserved": 0, "memory_allocated": 0,
    }  # fmt: skip
    with ExitStack() as stack:
        for attribute, value in answers.items():
            stack.enter_context(patch.object(torch.cuda, attribute, lambda *_, _value=value, **__: _value))
        stack.enter_context(patch.object(torch.backends.mps, "is_available", lambda: not cuda))
        for attribute, value in (("recommended_max_memory", MEMORY), ("current_allocated_memory", 0)):
            stack.enter_context(patch.object(torch.mps, attribute, lambda _value=value: _value))
        stack.enter_context(patch.object(torch.version, "cuda", "12.8" if cuda else None))
        operations = _Operations(made.kernels, made.waits, fails)
        stack.enter_context(_Functions(operations, made.waits))
        stack.enter_context(operations)
        yield made
