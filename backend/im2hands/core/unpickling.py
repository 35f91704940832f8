"""Reading of pickles that hold plain values and NumPy arrays. Nothing in them is executed.

A pickle names the functions that rebuild its objects. Here only the names of a table are accepted, and each stands for
a function of this module that can make nothing but arrays and numbers.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_TYPE_CODES = re.compile(r"[<>|=]?([biufS]\d+|U\d+|\?)")
_PLAIN = "biufSU"


class Stored:
    """Replaces an object of a class that is not loaded, and keeps what the pickle says about it.

    Attributes
    ----------
    state : dict
        The object's attributes.
    """

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 2:  # attributes, and those in slots
            state = {**(state[0] or {}), **(state[1] or {})}
        self.state = dict(state) if isinstance(state, dict) else {}


def _dtype(code: object, *_: object) -> np.dtype[Any]:
    text = code.decode("latin-1") if isinstance(code, bytes) else str(code)
    if not _TYPE_CODES.fullmatch(text):
        raise pickle.UnpicklingError(f"the number type {text[:20]!r} is not allowed")
    return np.dtype(text)


def _empty_array(*_: object) -> np.ndarray:
    """Replaces NumPy's ``_reconstruct``; the pickle then fills the array."""
    return np.empty(0, np.int8)


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Replaces NumPy's ``_frombuffer`` of protocol 5."""
    return np.frombuffer(bytes(data), _checked(dtype)).reshape(shape, order="F" if order == "F" else "C").copy()


def _number(dtype: Any, data: Any = b"") -> Any:
    """Replaces NumPy's ``scalar``."""
    data = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(data, _checked(dtype))[0].item()


def _checked(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, np.dtype) or dtype.kind not in _PLAIN or dtype.hasobject:
        raise pickle.UnpicklingError("an array of objects is not allowed")
    return dtype


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Replaces ``codecs.encode``, with which protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding!r} is not allowed")
    return text.encode("latin-1")


def _object(kind: Any, *_: object) -> Any:
    """Replaces ``copyreg._reconstructor``, with which protocols 0 and 1 make objects."""
    if not (isinstance(kind, type) and issubclass(kind, Stored)):
        raise pickle.UnpicklingError("an object of an unknown class is not allowed")
    return kind()


def _no_array(*_: object) -> None:
    """Stands for the class ``numpy.ndarray`` among the arguments of ``_reconstruct``; calling it is refused."""
    raise pickle.UnpicklingError("an array without content is not allowed")


_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _empty_array,
    "multiarray.scalar": _number,
    "numeric._frombuffer": _array,
}
_ALLOWED: dict[str, Callable[..., Any]] = {
    **{f"numpy.{core}.{name}": made for core in ("core", "_core") for name, made in _NUMPY.items()},
    "numpy.ndarray": _no_array,
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "collections.OrderedDict": OrderedDict,
    **{f"{module}._reconstructor": _object for module in ("copyreg", "copy_reg")},
    **{f"{module}.object": Stored for module in ("builtins", "__builtin__")},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, stored: Mapping[str, type[Stored]]) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")  # what Python 2 wrote as text may be bytes
        self._stored = stored

    def find_class(self, module: str, name: str) -> Any:
        """Return what replaces a function or a class; refuse names that are not in the table."""
        found = self._stored.get(f"{module}.{name}") or _ALLOWED.get(f"{module}.{name}")
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data; nothing was run")
        return found


def unpickle(data: bytes, stored: Mapping[str, type[Stored]] | None = None) -> Any:
    """Read a pickle of plain values and NumPy arrays.

    Parameters
    ----------
    data : bytes
        The pickle, of Python 2 or 3 and of any protocol.
    stored : mapping of str to type, optional
        Further classes by "module.name" whose objects may occur. They are not loaded; a :class:`Stored` replaces them.

    Returns
    -------
    Any
        The content. NumPy's scalars become Python's numbers.

    Raises
    ------
    ValueError
        The pickle is damaged or holds more than data. No other error is raised.
    """
    try:
        return _Unpickler(data, stored or {}).load()
    except Exception as error:  # damage makes pickle raise nearly everything
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(f"it is no pickle of plain data ({reason or type(error).__name__})") from error


def plain_array(value: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a value of a pickle as an array of finite float64 numbers.

    Parameters
    ----------
    value : Any
        An array, a number, or nested lists of numbers.
    shape : tuple of int, optional
        The shape that it must have after axes of length 1 are left out or added.

    Returns
    -------
    array of float64
        The numbers.

    Raises
    ------
    ValueError
        It is something else, a number is not finite, or it has another number of entries.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
        raise ValueError("an entry is not numbers")
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("an entry is not numbers") from error
    if not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    if shape is None:
        return array
    if array.size != math.prod(shape):
        raise ValueError(f"an entry has the shape {array.shape}, not {shape}")
    return array.reshape(shape)
