"""Looks as arrays: they come back as they were, and damaged ones are refused with the errors that are named."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from hand_pictures import frame_of, seen_hand
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import fake_look
from im2hands.core.files import pack_arrays
from im2hands.core.unpacking import unpack_arrays
from im2hands.keypoints.choosing.assignment import answers
from im2hands.keypoints.choosing.prior import EVEN
from im2hands.keypoints.hypothesis import NOT_READ, PhotoReading, SidedReading, WristOffset
from im2hands.keypoints.look import Look
from im2hands.keypoints.look_file import pack_look, unpack_look

RNG = np.random.default_rng(0)


def full_look() -> Look:
    """A look with everything that a look can have, in one hypothesis or another."""
    hands = [seen_hand("left", (200, 240)), seen_hand("right", (440, 240)), seen_hand("left", (300, 100))]
    frame = frame_of(np.full((480, 640, 3), 90, np.uint8), 7)
    look = fake_look(frame, [hand.pixels for hand in hands], [hand.side for hand in hands])
    photo = PhotoReading(0.9, 1.5, 0.2, 0.1, RNG.normal(size=(21, 2)), RNG.normal(size=(21, 3)))
    sided = SidedReading(0.1, 0.2, 0.3), SidedReading(0.4, 0.5, 0.6)
    first = replace(
        look.hypotheses[0], photo=photo, sided=sided, task=0.7, detector=0.3, spread=RNG.uniform(size=21),
        wrist_offset=WristOffset(RNG.normal(size=3), RNG.uniform(size=3)), source="boxes",
    )  # fmt: skip
    second = replace(look.hypotheses[1], own=True, source="two_hand_network", sided=(NOT_READ, NOT_READ))
    return replace(look, hypotheses=(first, second, look.hypotheses[2]), marked=(0, None))


def same(one: object, other: object) -> bool:
    """Whether two records are equal, bit by bit."""
    if is_dataclass(one):
        return type(one) is type(other) and all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (np.isnan(one) and np.isnan(other))
    return type(one) is type(other) and one == other


def test_looks_come_back_as_they_were() -> None:
    look = full_look()
    nothing = fake_look(frame_of(np.zeros((5, 9, 3), np.uint8)), [], [])
    for one in (look, replace(look, whole=False, marked=(None, 2)), nothing):
        again = unpack_look(unpack_arrays(pack_arrays(pack_look(one)), 10**7))
        assert same(one, again)
        assert same(answers(one.verdict, EVEN, one.marked), answers(again.verdict, EVEN, again.marked))


def _usable(look: Look) -> None:
    """Do with a look what the next steps do."""
    best = answers(look.verdict, EVEN, look.marked).best()
    for row in best.rows():
        assert row is None or np.isfinite(look.hypotheses[row].pixels).all()
    assert look.pixels().shape == (len(look.hypotheses), 21, 2)


NAMES = sorted(pack_look(full_look()))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 9), st.randoms(use_true_random=False))
def test_damaged_arrays_are_refused_by_the_named_errors(name: str, kind: int, random) -> None:
    arrays = dict(pack_look(full_look()))
    value = arrays[name]
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = value[: random.randrange(len(value))]
    elif kind == 2:
        arrays[name] = value.ravel()
    elif kind == 3:
        arrays[name] = np.array(random.choice([0, 1.5, "x", True, np.nan, 1j, np.datetime64("2020")]))
    elif kind == 4:
        arrays[name] = value.astype(str)
    elif kind == 5:
        arrays[name] = np.full(value.shape, random.choice([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.5]))
    elif kind == 6:
        arrays[name] = np.full(value.shape, random.choice([-(2**62), -1, 0, 5, 2**62]))
    elif kind == 7:
        arrays[name] = np.concatenate([value, value])
    elif kind == 8 and value.dtype.kind != "U":
        arrays[name] = np.nan_to_num(value, neginf=0).astype(random.choice(["f2", "u1", "i8", "c16", "?"]))
    else:
        arrays[name] = np.zeros((0, *value.shape[1:]), value.dtype)
    try:
        look = unpack_look(arrays)
    except (KeyError, ValueError):
        return
    _usable(look)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("marked", np.array([3, -1])),
        ("marked", np.array([0.0, np.inf])),
        ("size", np.array([0, 480])),
        ("single", np.full((3, 2), np.nan)),
        ("pair", np.full((3, 3), np.nan)),
        ("pair", np.full((3, 3), np.inf)),
        ("pixels", np.full((3, 21, 2), np.inf)),
        ("thumbnail", np.zeros((16, 16, 3))),
        ("source", np.zeros(3)),
    ],
)
def test_numbers_that_later_steps_cannot_use_are_refused(name: str, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match="look"):
        unpack_look({**pack_look(full_look()), name: value})
