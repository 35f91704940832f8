"""The pair judge: features of what may be hands, a verdict on each two, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of, seen_hand
from im2hands.errors import WeightsError
from im2hands.keypoints.landmark_network import LandmarkNetwork
from im2hands.keypoints.mediapipe_provider import MediaPipeProvider
from im2hands.keypoints.pair_candidates import Candidate, distinct_palms, find_candidates
from im2hands.keypoints.pair_choice import choose_hands, likely_pair
from im2hands.keypoints.pair_features import PAIR_FEATURES, SINGLE_FEATURES, features
from im2hands.keypoints.pair_judge import LAYERS, PairJudge
from im2hands.keypoints.palm_reader import HandMap
from im2hands.keypoints.provider import HandDetection
from im2hands.keypoints.second_look import SecondLook
from im2hands.weights.pair_judge import BUNDLED_FILE, FILE, load_pair_judge, save_pair_judge
from palm_fakes import FakePalms, reading_of

SIZE = (640, 480)


def candidate(hand: HandDetection, right: float, task: bool = False) -> Candidate:
    """A candidate that lies where a hand does and is seen surely."""
    look = SecondLook(0.95, 1.0, right, right / 2, hand.pixels, hand.shape, np.full(21, 0.03))
    return Candidate(look, 0.3, hand if task else None)


def random_weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {}
    for name, widths in LAYERS.items():
        for k in range(len(widths) - 1):
            made[f"{name}.{k}.weight"] = rng.normal(0, 0.15, (widths[k + 1], widths[k])).astype(np.float32)
            made[f"{name}.{k}.bias"] = rng.normal(0, 0.15, widths[k + 1]).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def photo_hands() -> list[HandDetection]:
    tasks = MediaPipeProvider(video=False)
    hands = sorted(tasks.detect(frame_of(demo_photo("hands_001.jpg"))), key=lambda hand: hand.pixels[:, 0].mean())
    tasks.close()
    return hands


def test_features_say_what_they_are_called() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (206, 243), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0), candidate(right, 3.0, task=True), candidate(again, -2.0)]
    single, pairs = features(candidates, seen, SIZE)
    assert single.shape == (3, len(SINGLE_FEATURES)) and pairs.shape == (3, 3, len(PAIR_FEATURES))
    assert np.isfinite(single).all() and np.isfinite(pairs).all()
    np.testing.assert_array_equal(pairs, pairs.swapaxes(0, 1))

    def one(name: str) -> np.ndarray:
        return single[:, SINGLE_FEATURES.index(name)]

    def two(name: str) -> np.ndarray:
        return pairs[..., PAIR_FEATURES.index(name)]

    np.testing.assert_allclose(one("gap")[:2], 0.0, atol=1e-9)
    assert one("gap")[2] > 0.05 and list(one("from_task")) == [0, 1, 0]
    assert (one("on_hands") > 0.95).all() and (one("inside") == 1).all()
    assert two("overlap")[0, 2] > 0.7 > 0.1 > two("overlap")[0, 1]
    assert two("gained")[0, 1] > 0.3 > 0.1 > two("gained")[0, 2]
    assert two("one_side")[0, 2] > 0 > two("one_side")[0, 1]
    assert two("partner_gap")[0, 1] < 0.01 < two("partner_gap")[0, 2]


def test_the_verdict_does_not_depend_on_the_order() -> None:
    judge = PairJudge(random_weights(1))
    rng = np.random.default_rng(2)
    single = rng.normal(size=(5, len(SINGLE_FEATURES)))
    pairs = rng.normal(size=(5, 5, len(PAIR_FEATURES)))
    pairs = pairs + pairs.swapaxes(0, 1)
    verdict = judge(single, pairs)
    np.testing.assert_allclose(verdict.pair, verdict.pair.T, atol=1e-12)
    assert (np.diag(verdict.pair) == 0).all()
    order = np.array([3, 0, 4, 1, 2])
    turned = judge(single[order], pairs[np.ix_(order, order)])
    np.testing.assert_allclose(turned.pair, verdict.pair[np.ix_(order, order)], atol=1e-12)
    best, same = verdict.best(), turned.best()
    assert best is not None and same is not None and {order[k] for k in same} == set(best)
    nothing = judge(single[:0], pairs[:0, :0])
    assert nothing.best() is None and len(nothing.single) == 0


def test_two_hands_are_chosen_before_one_hand_twice() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (225, 250), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0), candidate(again, -3.0), candidate(right, 0.5)]
    judge = load_pair_judge()
    verdict = judge(*features(candidates, seen, SIZE))
    assert verdict.pair[0, 2] > 2 * verdict.pair[0, 1]
    hands = choose_hands(judge, candidates, [], seen, SIZE)
    assert [hand.side for hand in hands] == ["left", "right"] or [hand.side for hand in hands] == ["right", "left"]
    centres = sorted(hand.pixels[:, 0].mean() for hand in hands)
    assert centres[1] - centres[0] > 150 and all(hand.way is not None for hand in hands)


def test_known_hands_stay_where_no_two_candidates_are_probable() -> None:
    weights = random_weights(3)
    weights["pair.1.weight"][:], weights["pair.1.bias"][:] = 0.0, -3.0
    weights["single.1.weight"][:], weights["single.1.bias"][:] = 0.0, 2.0
    judge = PairJudge(weights)
    near = np.zeros((2, 2, len(PAIR_FEATURES)))
    far = near + np.array([2.0 if name.endswith("apart") else 0.0 for name in PAIR_FEATURES])
    none = np.zeros((2, len(SINGLE_FEATURES)))
    assert judge(none, near).pair.max() < 0.1  # the judge's word
    assert judge(none, far).pair.max() == pytest.approx(0.8 * 0.8808**2, abs=1e-3)  # sure hands far apart are two hands
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (206, 243), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0, task=True), candidate(right, 3.0)]
    assert choose_hands(judge, candidates, [left], seen, SIZE) == [left]
    [alone] = choose_hands(judge, candidates[1:], [], seen, SIZE)
    assert alone.side == "right" and alone.confidence.max() < 0.88  # no surer than the judge, sigmoid(2)
    weights["single.1.bias"][:] = -2.0
    assert choose_hands(PairJudge(weights), candidates, [], seen, SIZE) == []
    assert choose_hands(judge, [], [], seen, SIZE) == []


def test_candidates_of_a_photo_hold_both_hands_and_known_ones_come_first(
    network: LandmarkNetwork, photo_hands: list[HandDetection]
) -> None:
    image = demo_photo("hands_001.jpg")
    seen = FakePalms([reading_of(hand) for hand in photo_hands]).seen
    found = find_candidates(network, image, seen, photo_hands[1:])
    assert found[0].task is photo_hands[1] and all(other.task is None for other in found[1:])
    for hand in photo_hands:
        gaps = [np.linalg.norm(c.look.pixels - hand.pixels, axis=1).mean() for c in found]
        assert min(gaps) < 0.12 * np.linalg.norm(hand.pixels[9] - hand.pixels[0])
    judge = load_pair_judge()
    hands = choose_hands(judge, found, photo_hands[1:], seen, (image.shape[1], image.shape[0]))
    assert len(hands) == 2 and {hand.side for hand in hands} == {"left", "right"}
    assert find_candidates(network, image, FakePalms().seen) == []
    assert likely_pair(judge, network, image, photo_hands, seen)
    assert not likely_pair(judge, network, image, photo_hands[:1], seen)


def test_palms_that_lie_upon_each_other_count_once() -> None:
    hand = seen_hand("left", (200, 240), 80)
    near, far = seen_hand("left", (206, 243), 80), seen_hand("left", (290, 240), 80)
    seen = FakePalms([reading_of(hand, 0.9), reading_of(near, 0.7)], [reading_of(far, 0.5)]).seen
    assert [palm.presence for palm in distinct_palms(seen)] == [0.9, 0.5]


def test_the_map_of_hands_is_nothing_beyond_its_edges() -> None:
    values = np.zeros((4, 4))
    values[1, 2] = 1.0
    hand_map = HandMap(values, np.array([[0.5, 0, 0], [0, 0.5, 0]]))
    np.testing.assert_array_equal(
        hand_map.at(np.array([[4.0, 2.0], [2.0, 4.0], [-4.0, 2.0], [400.0, 2.0]])), [1, 0, 0, 0]
    )


def test_weights_come_back_as_they_were_and_others_are_refused(tmp_path: Path) -> None:
    weights = random_weights(5)
    save_pair_judge(weights, tmp_path, {"licence": "Apache-2.0"})
    rng = np.random.default_rng(6)
    given = rng.normal(size=(3, len(SINGLE_FEATURES))), np.zeros((3, 3, len(PAIR_FEATURES)))
    loaded = load_pair_judge(tmp_path / "two_hand_network.safetensors")
    np.testing.assert_array_equal(loaded(*given).pair, PairJudge(weights)(*given).pair)
    elsewhere = load_pair_judge(tmp_path / "other" / "two_hand_network.safetensors")  # none there: the one that ships
    np.testing.assert_array_equal(elsewhere(*given).pair, load_pair_judge()(*given).pair)
    (tmp_path / FILE).write_bytes(BUNDLED_FILE.with_name("two_hand_network.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="another network"):
        load_pair_judge(tmp_path / "two_hand_network.safetensors")
    (tmp_path / FILE).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="damaged"):
        load_pair_judge(tmp_path / "two_hand_network.safetensors")
    del weights["pair.1.bias"]
    save_pair_judge(weights, tmp_path, {})
    with pytest.raises(WeightsError, match="another network"):
        load_pair_judge(tmp_path / "two_hand_network.safetensors")
