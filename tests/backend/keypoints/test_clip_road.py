"""The road of a clip with readers that are made up: what is looked at when, gaps, cuts, holes, one-sided clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hand_pictures import frame_of

from fakes import FakeProvider, fake_look, hand_positions
from im2hands.core.camera import Camera
from im2hands.core.hands import Side
from im2hands.keypoints.choosing.assignment import Assignment
from im2hands.keypoints.finder import OTHER_PEOPLE
from im2hands.keypoints.hypothesis import PhotoReading
from im2hands.keypoints.look import Look
from im2hands.media.source import Frame

BOTH = Assignment(0, 1)


def frames(count: int, brightness: Callable[[int], int] = lambda index: 90) -> list[Frame]:
    """Frames of a clip, numbered from 0, each of one brightness."""
    return [frame_of(np.full((120, 160, 3), brightness(k), np.uint8), k, k / 25) for k in range(count)]


def places(sides: Sequence[Side]) -> list[np.ndarray]:
    camera = Camera.from_fov(60, 160, 120)
    return [camera.project(hand_positions(side)) for side in sides]


def looks_of(shown: Sequence[Sequence[Side]], clip: Sequence[Frame]) -> list[Look]:
    return [fake_look(frame, places(sides), sides) for frame, sides in zip(clip, shown, strict=True)]


@pytest.mark.parametrize(
    ("hands", "sides", "expected"),
    [
        ("auto", ("left", "right"), [0, 25, 50, 75]),
        ("auto", ("left",), [0, 5, 14, 31, 64]),
        ("both", ("left",), [0, 5, 14, 31, 64]),
        ("left", ("left",), [0, 25, 50, 75]),
    ],
)
def test_every_proposer_is_asked_rarely_where_hands_are_followed(
    hands: str, sides: tuple[Side, ...], expected: list[int]
) -> None:
    provider, looks = FakeProvider(sides=lambda index: sides, hands=hands), []
    for frame in frames(90):
        looks.append(provider.look(frame, looks))
    assert [k for k, look in enumerate(looks) if look.whole] == expected


def test_every_proposer_is_asked_at_once_when_a_hand_is_lost_or_another_shot_begins() -> None:
    provider, looks = FakeProvider(sides=lambda index: ("left",) if index == 7 else ("left", "right")), []
    for frame in frames(16, lambda index: 90 if index < 11 else 200):
        looks.append(provider.look(frame, looks))
    assert [k for k, look in enumerate(looks) if look.whole] == [0, 7, 8, 11]


def test_a_hidden_hand_is_missing_and_looked_for_at_the_places_beside() -> None:
    def sides(index: int) -> tuple[Side, ...]:
        return ("left",) if 4 <= index < 7 else ("left", "right")

    provider = FakeProvider(sides=sides)
    found = provider.detect_clip(frames(12))
    assert provider.again == [4, 5, 6]
    assert [[hand.side for hand in hands] for hands in found] == [list(sides(k)) for k in range(12)]


def test_gaps_name_the_nearest_places_before_and_after_in_the_same_shot() -> None:
    shown: list[tuple[Side, ...]] = [("left", "right")] * 2 + [("left",)] * 2 + [("left", "right")] * 2
    clip = frames(6)
    looks = looks_of(shown, clip)
    chosen = [Assignment(0, 1 if len(sides) == 2 else None) for sides in shown]
    provider = FakeProvider()
    gaps = provider.gaps(looks, chosen)
    assert sorted(gaps) == [2, 3]
    for places_beside in gaps.values():
        np.testing.assert_array_equal(places_beside, [looks[1].hypotheses[1].pixels, looks[4].hypotheses[1].pixels])
    cut = looks_of(shown, frames(6, lambda index: 90 if index < 3 else 200))
    before_cut = provider.gaps(cut, chosen)
    np.testing.assert_array_equal(before_cut[2], [cut[1].hypotheses[1].pixels])
    np.testing.assert_array_equal(before_cut[3], [cut[4].hypotheses[1].pixels])
    assert FakeProvider(hands="left").gaps(looks, chosen) == {}
    nothing = [Assignment(None, None)] * 6
    assert provider.gaps(looks, nothing) == {} and provider.gaps([], []) == {}


def test_frames_that_are_left_out_let_hands_move_further() -> None:
    """After a hole the hand is elsewhere; right after the frame before it is more probable at its old place."""

    def look(frame: Frame, x: float, more: float = 0.0) -> Look:
        near = places(["left"])[0]
        made = fake_look(frame, [near, near + np.array([x, 0.0])], ["left", "left"], strength=9.0)
        made.verdict.single[1, 0] += more
        return made

    clip = frames(6)
    for jump, expected in ((0, 0), (200, 1)):
        moved = [frame_of(frame.image, frame.index + (jump if k > 2 else 0)) for k, frame in enumerate(clip)]
        looks = [look(frame, 60.0, -30.0 if k <= 2 else 2.0) for k, frame in enumerate(moved)]
        chosen = FakeProvider().choose(looks)
        assert [hands.left for hands in chosen] == [0, 0, 0] + [expected] * 3


@pytest.mark.parametrize("hands", ["left", "right"])
def test_a_person_who_says_one_hand_gets_no_second_one_in_any_frame(hands: Side) -> None:
    provider = FakeProvider(hands=hands)
    assert [[hand.side for hand in found] for found in provider.detect_clip(frames(8))] == [[hands]] * 8


def test_a_clip_that_goes_black_and_comes_back() -> None:
    provider = FakeProvider(sides=lambda index: () if 3 <= index < 6 else ("left", "right"))
    found = provider.detect_clip(frames(9, lambda index: 0 if 3 <= index < 6 else 90))
    assert [len(hands) for hands in found] == [2, 2, 2, 0, 0, 0, 2, 2, 2]
    assert provider.again == []  # nothing is sought in another shot


def test_a_third_hand_is_noted() -> None:
    frame = frames(1)[0]
    sides: list[Side] = ["left", "right", "right"]
    look = fake_look(frame, [*places(sides[:2]), places(["right"])[0] + np.array([0.0, 200.0])], sides)
    provider = FakeProvider()
    assert {hand.note for hand in provider.finish(frame, look, BOTH, provider.prior([look]))} == {""}
    third = look.hypotheses[2]
    seen = PhotoReading(0.95, 3.0, 0.05, 0.05, third.pixels, third.shape)
    look = replace(look, hypotheses=(*look.hypotheses[:2], replace(third, photo=seen)))
    assert {hand.note for hand in provider.finish(frame, look, BOTH, provider.prior([look]))} == {OTHER_PEOPLE}
