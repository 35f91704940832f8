"""Looks as arrays, so that a job that goes on has exactly the same hypotheses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT
from im2hands.keypoints.choosing.judge import Verdict

from .hypothesis import Hypothesis, PhotoReading, SidedReading, WristOffset
from .look import THUMBNAIL, Look

_NUMBERS = ("presence", "agreement", "network_right", "shape_right", "support", "detector", "task", "own")
_PHOTO_NUMBERS = ("presence", "right", "gap", "scatter")
_K = KEYPOINT_COUNT
# Arrays that hold finite numbers only; in the others NaN stands for what was not measured.
_ALWAYS = ("pixels", "shape", "spread", "single")


def pack_look(look: Look) -> dict[str, np.ndarray]:
    """Write a look as arrays.

    Parameters
    ----------
    look : Look
        The look, with N hypotheses.

    Returns
    -------
    dict[str, np.ndarray]
        The arrays, without Python objects.
    """
    hands = look.hypotheses
    photos = [hand.photo for hand in hands]
    offsets = [hand.wrist_offset for hand in hands]
    nowhere = np.full((_K, 2), np.nan), np.full((_K, 3), np.nan)

    def stacked(rows: Sequence[Any], *shape: int) -> np.ndarray:
        return np.array(rows, dtype=np.float64).reshape(len(rows), *shape)

    return {
        "pixels": look.pixels(),
        "shape": stacked([hand.shape for hand in hands], _K, 3),
        "spread": stacked([hand.spread for hand in hands], _K),
        "numbers": stacked([[float(getattr(hand, name)) for name in _NUMBERS] for hand in hands], len(_NUMBERS)),
        "source": np.array([hand.source for hand in hands], dtype=np.str_),
        "sided": stacked([[[s.presence, s.gap, s.spread] for s in hand.sided] for hand in hands], 2, 3),
        "photo": stacked([[np.nan if p is None else getattr(p, n) for n in _PHOTO_NUMBERS] for p in photos], 4),
        "photo_pixels": stacked([nowhere[0] if photo is None else photo.pixels for photo in photos], _K, 2),
        "photo_shape": stacked([nowhere[1] if photo is None else photo.shape for photo in photos], _K, 3),
        "offset": stacked([np.full((2, 3), np.nan) if o is None else [o.vector, o.spread] for o in offsets], 2, 3),
        "single": look.verdict.single.reshape(-1, 2),
        "pair": look.verdict.pair,
        "marked": np.array([-1 if row is None else row for row in look.marked], np.int64),
        "size": np.array(look.size, np.int64),
        "thumbnail": look.thumbnail,
        "whole": np.array([look.whole]),
        "index": np.array([look.index], np.int64),
    }


def unpack_look(arrays: Mapping[str, np.ndarray]) -> Look:
    """Read a look from the arrays of ``pack_look``.

    Parameters
    ----------
    arrays : Mapping[str, np.ndarray]
        The arrays.

    Returns
    -------
    Look
        The look.

    Raises
    ------
    KeyError, ValueError
        If the arrays are not a look.
    """
    count = len(arrays["single"]) if arrays["single"].ndim else 0
    each = {
        "pixels": (_K, 2), "shape": (_K, 3), "spread": (_K,), "numbers": (len(_NUMBERS),), "sided": (2, 3),
        "photo": (4,), "photo_pixels": (_K, 2), "photo_shape": (_K, 3), "offset": (2, 3), "single": (2,),
        "pair": (count,),
    }  # fmt: skip
    wanted = {name: ((count, *shape), "f") for name, shape in each.items()}
    wanted |= {"source": ((count,), "U"), "marked": ((2,), "i"), "size": ((2,), "i"), "whole": ((1,), "b")}
    wanted |= {"index": ((1,), "i"), "thumbnail": ((THUMBNAIL, THUMBNAIL, 3), "u")}
    if any((arrays[name].shape, arrays[name].dtype.kind) != form for name, form in wanted.items()):
        raise ValueError("the arrays of a look do not fit together")
    if any(not np.isfinite(arrays[name]).all() for name in _ALWAYS) or not (arrays["pair"] < np.inf).all():
        raise ValueError("a look has numbers that are not finite")
    left, right = (None if row < 0 else int(row) for row in arrays["marked"])
    if any(row is not None and row >= count for row in (left, right)) or arrays["size"].min() < 1:
        raise ValueError("a look names what it does not have")
    width, height = (int(value) for value in arrays["size"])
    hands = tuple(_hypothesis(arrays, row) for row in range(count))
    verdict = Verdict(arrays["single"], arrays["pair"])
    thumbnail = arrays["thumbnail"].astype(np.uint8)
    index, whole = int(arrays["index"][0]), bool(arrays["whole"][0])
    return Look(hands, verdict, (left, right), (width, height), thumbnail, whole, index)


def _hypothesis(arrays: Mapping[str, np.ndarray], row: int) -> Hypothesis:
    numbers = {name: float(value) for name, value in zip(_NUMBERS, arrays["numbers"][row], strict=True)}
    photo, offset = None, None
    if np.isfinite(arrays["photo"][row]).all():
        presence, right, gap, scatter = (float(value) for value in arrays["photo"][row])
        photo = PhotoReading(presence, right, gap, scatter, arrays["photo_pixels"][row], arrays["photo_shape"][row])
    if np.isfinite(arrays["offset"][row]).all():
        offset = WristOffset(arrays["offset"][row][0], arrays["offset"][row][1])
    as_left, as_right = (SidedReading(*(float(value) for value in part)) for part in arrays["sided"][row])
    return Hypothesis(
        arrays["pixels"][row], arrays["shape"][row], arrays["spread"][row], numbers["presence"], numbers["agreement"],
        numbers["network_right"], numbers["shape_right"], numbers["support"], str(arrays["source"][row]),
        (as_left, as_right), photo, numbers["detector"],
        numbers["task"], bool(numbers["own"]), offset,
    )  # fmt: skip
