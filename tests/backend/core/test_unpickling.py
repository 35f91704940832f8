"""Pickles are read without running anything in them."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2hands.core.unpickling import Stored, plain_array, unpickle

ARRAYS = {
    "rows": np.arange(12.0).reshape(3, 4), "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "small": np.float32(2.5), "bytes": np.array([b"ab", b"c"]), "yes": np.bool_(True), "flags": np.array([True, False]),
}  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_come_back(protocol: int) -> None:
    content = {**ARRAYS, "more": OrderedDict(text="ä", none=None, numbers=(1, 2.5)), "raw": b"\x00\xff"}
    found = unpickle(pickle.dumps(content, protocol))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    assert found["more"] == content["more"] and found["raw"] == b"\x00\xff"


@pytest.mark.parametrize("old, new", [(b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")])
def test_both_names_of_numpy_are_known(old: bytes, new: bytes) -> None:
    data = pickle.dumps(np.arange(3), 2).replace(old, new)
    np.testing.assert_array_equal(unpickle(data), [0, 1, 2])


def test_what_python_2_wrote_is_read() -> None:
    """A pickle from Python 2 stores the bytes of an array as text and names its types in ``numpy.core``."""
    array = np.array([1.5, -2.0])
    state = b"(I1\n(I2\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS" + repr(
        array.tobytes()
    )[1:].encode() + b"\ntb."  # fmt: skip
    data = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state
    np.testing.assert_array_equal(unpickle(data), array)


class _Runs:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self._call, self._arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call, self._arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    for call, arguments in (
        (os.mkdir, (str(tmp_path / "made"),)),
        (eval, ("1",)),
        (np.load, ("x",)),
        (getattr, (1, "real")),
    ):
        with pytest.raises(ValueError, match="which is not data; nothing was run"):
            unpickle(pickle.dumps({"a": _Runs(call, *arguments)}, protocol))
    assert not (tmp_path / "made").exists()


def test_arrays_of_objects_and_empty_promises_are_refused() -> None:
    with pytest.raises(ValueError, match="not allowed"):
        unpickle(pickle.dumps(np.array([{}, 1], object)))
    with pytest.raises(ValueError, match="an array without content"):
        unpickle(pickle.dumps(_Runs(np.ndarray, (10**12,)), 2))


def test_other_classes_are_kept_as_their_attributes_if_asked_for() -> None:
    data = b"\x80\x02cfar.away\nThing\n)\x81}U\x01xK\x05sb."
    with pytest.raises(ValueError, match=r"far\.away\.Thing"):
        unpickle(data)
    assert unpickle(data, {"far.away.Thing": Stored}).state == {"x": 5}


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps(ARRAYS)[:-40], b"\x80\x04\x8c"])
def test_damage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no pickle of plain data"):
        unpickle(data)


def test_plain_arrays_are_checked() -> None:
    assert plain_array([[1, 2, 3]], (3,)).tolist() == [1.0, 2.0, 3.0]
    for wrong in ([1, None, 2], [1.0, float("nan"), 2.0], [1, 2], ["a"] * 3, {"a": 1}, np.array(["1", "2", "3"])):
        with pytest.raises(ValueError):
            plain_array(wrong, (3,))
