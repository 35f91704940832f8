"""The crop search: a lost hand is found again, which pairs are plausible, cache, progress, cancelling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of, hand_shape, seen_hand
from im2hands.keypoints.choosing.sides import evidence, palm_length
from im2hands.keypoints.proposing.grid import ACCEPT, SearchCandidate, beside, best_pair, quality, search
from im2hands.keypoints.proposing.search_cache import SearchCache, search_key

from im2hands.core.errors import Cancelled
from im2hands.core.hands import SIDES
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.reading.consensus import Consensus
from im2hands.keypoints.reading.network import LandmarkNetwork


def look_of(side: str, centre: tuple[float, float], palm_px: float = 80.0, **changes) -> Consensus:
    hand = seen_hand(side, centre, palm_px)  # type: ignore[arg-type]
    sign = 1.0 if side == "right" else -1.0
    spread = np.full(21, 0.03)
    look = Consensus(0.99, 1.0, 5.0 * sign, 3.5 * sign, hand.pixels, hand.shape, spread)
    return replace(look, **changes)


def candidate(side: str, centre: tuple[float, float], palm_px: float = 80.0, **changes) -> SearchCandidate:
    look = look_of(side, centre, palm_px, **changes)
    return SearchCandidate(look, 10, quality(look, 10))


def test_quality_asks_for_presence_agreement_support_steadiness_and_one_side() -> None:
    good = look_of("right", (300, 300))
    assert quality(good, 20) > 0.85
    doubtful = {
        "presence": replace(good, presence=0.7),
        "agreement": replace(good, agreement=0.4),
        "spread": replace(good, spread=np.full(21, 0.25)),
        "side": replace(good, right=0.1, network_right=0.2),
        "chirality against the network": replace(good, network_right=-3.0, right=0.5),
    }
    for what, look in doubtful.items():
        assert quality(look, 20) < ACCEPT + 0.05, what
    assert quality(good, 1) < 0.5 * quality(good, 20)


def test_the_other_hand_is_taken_and_the_same_hand_seen_again_is_not() -> None:
    left = seen_hand("left", (380, 240))
    other = candidate("right", (240, 240))
    again = SearchCandidate(replace(look_of("right", (384, 243))), 30, 0.95)
    pair = best_pair([left], [again, other])
    assert [hand.side for hand in pair] == list(SIDES)
    np.testing.assert_array_equal(pair[1].pixels, other.look.pixels)
    assert best_pair([left], [again]) == [left]


def test_a_small_hand_made_of_the_first_ones_fingers_is_refused() -> None:
    left = seen_hand("left", (380, 240), 120)
    fingers = candidate("right", (380, 190), 62)
    assert fingers.quality > ACCEPT
    assert best_pair([left], [fingers]) == [left]
    assert len(best_pair([left], [candidate("right", (120, 240), 110)])) == 2


def test_sizes_that_do_not_go_together_and_two_sure_left_hands_are_refused() -> None:
    left = seen_hand("left", (380, 240))
    assert best_pair([left], [candidate("right", (100, 240), 320)]) == [left]
    assert best_pair([left], [candidate("left", (100, 240))]) == [left]


def test_hands_that_touch_or_overlap_partly_are_a_pair() -> None:
    left, right = seen_hand("left", (380, 240)), look_of("right", (330, 240))
    value = beside(left, evidence(left), right.detection("x"), right.right)
    assert value > 0.7
    assert beside(left, evidence(left), look_of("right", (388, 240)).detection("x"), 5.0) < 0.2


def test_without_a_known_hand_the_best_right_and_left_are_chosen() -> None:
    candidates = [
        candidate("right", (240, 240), presence=0.95),
        candidate("left", (400, 240)),
        candidate("left", (600, 240), presence=0.93),
        candidate("right", (60, 400), presence=0.5),
    ]
    pair = best_pair([], candidates)
    np.testing.assert_array_equal(
        [hand.pixels for hand in pair], [candidates[1].look.pixels, candidates[0].look.pixels]
    )
    assert len(best_pair([], candidates[:1])) == 1
    assert best_pair([], candidates[3:]) == []


def test_the_hand_that_was_not_given_is_found_again(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_a.jpg")
    provider = MediaPipeProvider(video=False)
    left = max(provider.detect(frame_of(image)), key=lambda hand: hand.pixels[:, 0].mean())
    provider.close()
    left = replace(left, side="left", score=0.9)
    told: list[tuple[int, int]] = []
    hands = search(network, image, [left], progress=lambda done, total: told.append((done, total)))
    assert [hand.side for hand in hands] == ["left", "right"]
    assert hands[1].source == "crop_search" and hands[1].score > 0.8
    np.testing.assert_allclose(hands[1].pixels.mean(axis=0), (229, 372), atol=30)
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)


def test_both_hands_are_found_from_nothing(network: LandmarkNetwork) -> None:
    hands = search(network, demo_photo("hands_c.jpg"))
    assert [hand.side for hand in hands] == ["left", "right"]
    assert hands[0].pixels[:, 0].mean() > 500 > 300 > hands[1].pixels[:, 0].mean()
    sizes = [palm_length(hand.pixels) for hand in hands]
    assert 0.6 < sizes[0] / sizes[1] < 1.6


def test_nothing_is_found_where_nothing_is(network: LandmarkNetwork) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert search(network, np.kron(noise, np.ones((6, 6, 1), np.uint8))) == []


def test_a_search_stops_when_asked(network: LandmarkNetwork) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        search(network, demo_photo("hands_a.jpg"), cancelled=lambda: next(asked))


def test_the_cache_gives_back_what_was_found_also_from_its_folder(tmp_path: Path) -> None:
    hands = [seen_hand("left"), replace(seen_hand("right", (100, 90)), source="crop_search")]
    image = demo_photo("hands_a.jpg")
    key = search_key(image, hands[:1])
    for folder in (None, tmp_path / "ü 手"):
        cache = SearchCache(folder)
        assert cache.get(key) is None
        cache.put(key, hands)
        cache.put("0" * 64, [])
        kept = [cache] if folder is None else [cache, SearchCache(folder)]
        for store in kept:
            found = store.get(key)
            assert found is not None and store.get("0" * 64) == []
            for a, b in zip(found, hands, strict=True):
                assert (a.side, a.score, a.source) == (b.side, b.score, b.source)
                for name in ("pixels", "shape", "confidence"):
                    np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_the_key_depends_on_the_picture_and_on_what_was_known() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    changed = image.copy()
    changed[3, 4, 1] = 1
    hand = replace(seen_hand("left"), shape=hand_shape("left"))
    keys = [
        search_key(image, []),
        search_key(changed, []),
        search_key(image.reshape(30, 20, 3), []),
        search_key(image, [hand]),
        search_key(image, [replace(hand, side="right")]),
    ]
    assert len(set(keys)) == len(keys)
    assert search_key(image.copy(), [hand]) == keys[3]


def test_a_damaged_entry_and_a_folder_that_cannot_be_written_only_cost_the_search_again(tmp_path: Path) -> None:
    cache = SearchCache(tmp_path)
    cache.put("a", [seen_hand("left")])
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:300])
    assert SearchCache(tmp_path).get("a") is None
    (tmp_path / "file").write_text("x")
    unwritable = SearchCache(tmp_path / "file")
    unwritable.put("b", [])
    assert unwritable.get("b") == []
