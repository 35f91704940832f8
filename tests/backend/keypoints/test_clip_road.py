"""The road of a clip with readers that are made up: what is looked at when, gaps, cuts, holes, one-sided clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hand_pictures import frame_of

from fakes import FakeProvider, fake_look, hand_positions
from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
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
        ("auto", ("left", "right"), [0, 25, 74]),
        ("auto", ("left",), [0, 5, 14, 31, 64]),
        ("both", ("left",), [0, 5, 14, 31, 64]),
        ("left", ("left",), [0, 25, 74]),
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


def surely_read(look: Look, row: int, right: float) -> Look:
    """Let both networks read a hypothesis surely; ``right``: log odds of each for a right hand."""
    hand = look.hypotheses[row]
    photo = PhotoReading(0.95, right, 0.05, 0.05, hand.pixels, hand.shape)
    known = replace(hand, photo=photo, network_right=right, shape_right=0.0)
    return replace(look, hypotheses=(*look.hypotheses[:row], known, *look.hypotheses[row + 1 :]))


def notes(look: Look, chosen: Assignment) -> set[str]:
    """The notes of a frame with these chosen hands."""
    provider = FakeProvider()
    return {hand.note for hand in provider.finish(frames(1)[0], look, chosen, provider.prior([look]))}


def in_a_row(*sides: Side) -> Look:
    """Hands of these sides beside each other."""
    pixels = [places([side])[0] + np.array([0.0, 200.0 * k]) for k, side in enumerate(sides)]
    return fake_look(frames(1)[0], pixels, sides)


def test_a_third_hand_is_noted() -> None:
    look = in_a_row("left", "right", "right")
    assert notes(look, BOTH) == {""}
    assert notes(surely_read(look, 2, 4.0), BOTH) == {OTHER_PEOPLE}
    assert notes(surely_read(look, 2, -4.0), BOTH) == {OTHER_PEOPLE}
    assert notes(surely_read(look, 1, 4.0), BOTH) == {""}


def test_beside_one_chosen_hand_the_same_persons_other_hand_is_not_noted_but_a_second_one_of_its_side_is() -> None:
    left = Assignment(0, None)
    for right, expected in ((4.0, ""), (-4.0, OTHER_PEOPLE), (-1.0, "")):  # the last one's side is not sure
        look = in_a_row("left", "left" if right < 0 else "right")
        look.verdict.pair[:] = -20.0  # the judge believes in one hand alone, or one was asked for
        look.verdict.single[0, 0] += 10.0
        assert notes(surely_read(look, 1, right), left) == {expected}
    look = surely_read(look, 1, -4.0)
    hand = look.hypotheses[1]
    assert hand.photo is not None
    hand = replace(hand, photo=replace(hand.photo, right=1.0))  # the networks do not agree on its side
    assert notes(replace(look, hypotheses=(look.hypotheses[0], hand)), left) == {""}


def test_beside_one_chosen_hand_a_further_pair_is_noted() -> None:
    for first, second in ((-4.0, 4.0), (1.0, 1.0)):
        look = in_a_row("left", "left", "right")
        look.verdict.single[0, 0] = 60.0
        look = surely_read(surely_read(look, 1, first), 2, second)
        assert notes(look, Assignment(0, None)) == {OTHER_PEOPLE}  # three hands, whatever their sides are


def test_two_sure_readings_of_one_hand_are_no_other_person() -> None:
    hand = places(["left"])[0]
    look = fake_look(frames(1)[0], [hand, hand + 2.0, hand + 4.0], ["left"] * 3)
    look = surely_read(surely_read(surely_read(look, 0, -4.0), 1, -4.0), 2, 4.0)
    assert notes(look, Assignment(0, None)) == {""}


def test_a_hand_that_was_forced_is_no_proof_of_another_person() -> None:
    """The judge does not believe in the chosen left hand; the other two surely are one person's."""
    look = surely_read(surely_read(in_a_row("left", "left", "right"), 1, -4.0), 2, 4.0)
    look.verdict.single[0] = look.verdict.pair[0, 1:] = -20.0
    assert notes(look, Assignment(0, None)) == {""}


def test_frames_that_the_readers_fail_on_have_no_hands_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    def sides(index: int) -> tuple[Side, ...]:
        return ("left",) if 4 <= index < 7 else ("left", "right")

    class Failing(FakeProvider):
        def look_again(self, frame: Frame, look: Look, near: np.ndarray) -> Look:
            if frame.index == 5:
                raise FrameError("The second look failed.")
            return super().look_again(frame, look, near)

    provider = Failing(sides=sides, fail_at=frozenset({0, 2}))
    found = provider.detect_clip(frames(12))
    assert [len(hands) for hands in found] == [0, 2, 0, 2, 1, 1, 1, 2, 2, 2, 2, 2]
    assert provider.again == [4, 6]
    assert len(caplog.records) == 3 and "The second look failed." in caplog.text
    assert FakeProvider(fail_at=frozenset(range(3))).detect_clip(frames(3)) == [[], [], []]


def test_pictures_without_hands_are_looked_at_rarely_until_they_change() -> None:
    def looked(brightness: Callable[[int], int], count: int = 90, hands: str = "auto") -> list[int]:
        provider, looks = FakeProvider(sides=lambda index: (), hands=hands), list[Look]()
        for frame in frames(count, brightness):
            looks.append(provider.look(frame, looks))
        return [k for k, look in enumerate(looks) if look.whole]

    assert looked(lambda index: 90) == looked(lambda index: 90, hands="left") == [0, 5, 14, 31, 64]
    assert looked(lambda index: 90 if index < 8 else 115)[:4] == [0, 5, 8, 25]  # it changed at 8
    assert looked(lambda index: 90 + index // 4, 40) == [0, 5, 14, 31]  # too slow for a change between two looks
    assert looked(lambda index: 90 + 7 * index, 12) == [0, 2, 4, 6, 8, 10]
    assert looked(lambda index: 20 if index < 16 else 200, 30) == [0, 5, 14, 16, 21]  # another shot begins at 16


def test_a_small_change_somewhere_in_a_picture_without_hands_is_seen() -> None:
    provider, looks = FakeProvider(sides=lambda index: ("left",) if index >= 7 else ()), list[Look]()
    clip = frames(12)
    for frame in clip[7:]:
        frame.image[60:70, 140:150] = 220
    for frame in clip:
        looks.append(provider.look(frame, looks))
    assert [k for k, look in enumerate(looks) if look.whole][:3] == [0, 5, 7]


def test_a_hand_that_came_unseen_between_two_looks_is_found_from_its_first_frame() -> None:
    provider = FakeProvider(sides=lambda index: ("left",) if index >= 33 else ())
    found = provider.detect_clip(frames(70))
    assert [len(hands) for hands in found] == [0] * 33 + [1] * 37


def test_pauses_are_frames_not_looks() -> None:
    """Every tenth frame is given: after a pause in frames every proposer is asked again."""
    provider, looks = FakeProvider(sides=lambda index: ("left",)), list[Look]()
    for frame in frames(300)[::10]:
        looks.append(provider.look(frame, looks))
    assert [look.index for look in looks if look.whole] == [0, 10, 20, 40, 80, 120, 160, 200, 240, 280]


def test_hands_that_are_followed_are_looked_for_ever_more_rarely() -> None:
    provider, looks = FakeProvider(sides=lambda index: ("left", "right")), list[Look]()
    for frame in frames(600):
        looks.append(provider.look(frame, looks))
    whole = [look.index - looks[0].index for look in looks if look.whole]
    assert whole == [0, 25, 74, 171, 364, 557]


def test_a_hand_is_sought_over_few_frames_only_and_a_hole_counts() -> None:
    def gaps(hidden: int, skipped: int = 0) -> list[int]:
        shown: list[tuple[Side, ...]] = [("left", "right")] * 2 + [("left",)] * hidden + [("left", "right")] * 2
        clip = [frame_of(f.image, f.index + (skipped if k > 1 else 0)) for k, f in enumerate(frames(len(shown)))]
        chosen = [Assignment(0, 1 if len(sides) == 2 else None) for sides in shown]
        return sorted(FakeProvider().gaps(looks_of(shown, clip), chosen))

    assert gaps(64) == list(range(2, 66))
    assert gaps(100) == [*range(2, 34), *range(70, 102)]
    assert gaps(40, 50) == list(range(10, 42))  # before the hole the hand was elsewhere
