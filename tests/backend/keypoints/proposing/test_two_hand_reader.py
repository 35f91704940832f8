"""Readings of the two-hand network merged into hands: overlapping hands, two people; and reading a whole picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from palm_fakes import reading

from im2hands.keypoints.proposing.two_hand_network import TwoHandReader, merge_readings
from im2hands.networks.two_hand_network import TwoHandNetwork


def test_two_hands_on_one_spot_come_from_one_place() -> None:
    front, behind = reading("left"), reading("right", presence=0.7, hidden=True)
    for second in (behind, replace(behind, right=-0.5)):  # the more certain side decides for both
        seen = merge_readings([[(0.9, front), (0.7, second)], [(0.8, front), (0.6, second)]])
        assert [hand.side for hand in seen.hands] == ["left", "right"]
        assert seen.hands[1].hidden and not seen.hands[0].hidden
        assert seen.hands[0].presence == 0.9 and not seen.others


def test_places_that_tell_of_each_other_are_two_hands_not_four() -> None:
    left, right = reading("left", (400, 200), 60), reading("right", (150, 200), 60)
    moved = replace(right, pixels=right.pixels + np.array([9, -6]), hidden=True, spread=np.full(21, 0.4))
    seen = merge_readings([[(0.9, left), (0.5, moved)], [(0.8, right), (0.6, replace(left, hidden=True))]])
    assert {hand.side for hand in seen.hands} == {"left", "right"} and not seen.others
    found = next(hand for hand in seen.hands if hand.side == "right")
    assert not found.hidden
    # The spread of the second reading is four times as large, so its weight is a sixteenth.
    np.testing.assert_allclose(found.pixels, right.pixels, atol=2)


def test_one_hand_seen_from_two_places_as_either_side_stays_one_hand() -> None:
    seen = merge_readings([[(0.9, reading("left"))], [(0.8, reading("right", right=0.5))]])
    assert [hand.side for hand in seen.hands] == ["left"] and not seen.others


def test_of_two_people_the_surest_persons_hands_are_chosen() -> None:
    one = [reading("right", (100, 100), 40), reading("left", (220, 100), 40)]
    two = [reading("right", (400, 300), 40), reading("left", (520, 300), 40)]
    pairs = [[(0.8, two[0]), (0.7, two[1])], [(0.95, one[0]), (0.6, one[1])], [(0.75, two[1]), (0.4, two[0])]]
    seen = merge_readings(pairs)
    assert [round(hand.pixels[:, 0].mean()) for hand in seen.hands] == [100, 220]
    assert sorted(round(hand.pixels[:, 0].mean()) for hand in seen.others) == [400, 520]


def test_two_hands_that_do_not_know_of_each_other_are_a_pair_only_with_different_sides() -> None:
    right, left = reading("right", (100, 100), 40), reading("left", (300, 100), 40)
    assert len(merge_readings([[(0.9, right)], [(0.6, left)]]).hands) == 2
    alike = merge_readings([[(0.9, right)], [(0.6, reading("right", (300, 100), 40))]])
    assert len(alike.hands) == 1 and len(alike.others) == 1
    assert merge_readings([]).hands == ()


@pytest.mark.parametrize("size", [(3, 3), (9, 400), (480, 640), (1500, 900)])
def test_a_network_that_sees_palms_everywhere_breaks_nothing(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    model = TwoHandNetwork().eval()
    with torch.no_grad():
        model.maps.bias[0] += 4.5  # type: ignore[index]
        model.maps.weight *= 30
        model.palm.bias[13] = 3.0
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    seen = TwoHandReader(model).read(image)
    assert len(seen.hands) == (2 if min(size) >= 8 else 0)
    for hand in (*seen.hands, *seen.others):
        assert hand.pixels.shape == (21, 2) and np.isfinite(hand.pixels).all() and np.isfinite(hand.shape).all()
        assert 0 <= hand.presence <= 1 and hand.size > 0 and (hand.spread > 0).all()
    if seen.hands:
        assert seen.hands[0].side != seen.hands[1].side


def test_a_mirrored_picture_gives_the_mirrored_readings() -> None:
    torch.manual_seed(2)
    model = TwoHandNetwork().eval()
    with torch.no_grad():
        model.maps.bias[0] += 4.5  # type: ignore[index]
        model.palm.bias[13] = 3.0
        for layer in (model.hand, model.palm, model.maps):
            layer.weight *= 20
    image = np.random.default_rng(3).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    reader = TwoHandReader(model)
    plain, turned = reader.read(image), reader.read(np.ascontiguousarray(image[:, ::-1]))
    assert len(plain.hands) == len(turned.hands) == 2
    for hand, other in zip(plain.hands, turned.hands, strict=True):
        np.testing.assert_allclose(other.pixels, hand.pixels * (-1, 1) + (159, 0), atol=0.05)
        np.testing.assert_allclose(other.wrist_offset, hand.wrist_offset * (-1, 1, 1), atol=1e-3)
        assert other.right == pytest.approx(-hand.right, abs=1e-3)
