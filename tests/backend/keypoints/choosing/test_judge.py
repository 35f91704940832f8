"""The judge: features of the hypotheses, and what any weights of its network keep to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_pictures import seen_hand
from palm_fakes import FakePalms, reading_of

from im2hands.core.errors import WeightsError
from im2hands.keypoints.choosing.features import features
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.hypothesis import NOT_READ, HandDetection, Hypothesis, PhotoReading, SidedReading
from im2hands.keypoints.proposing.photo import distinct_palms
from im2hands.keypoints.proposing.two_hand_network import HandMap, PictureReading
from im2hands.networks.pair_judge import MEASURED_BY, PAIR_FEATURES, SINGLE_FEATURES, PairJudgeNetwork
from im2hands.weights.keypoint_networks import PAIR_JUDGE

SIZE = (640, 480)


def seen(hand: HandDetection, right: float, task: float = 0.0) -> Hypothesis:
    """A hypothesis read with high presence where a hand lies."""
    sided = (SidedReading(0.2, 0.4, 0.2), SidedReading(0.9, 0.05, 0.1))
    photo = PhotoReading(0.9, right, 0.1, 0.05, hand.pixels, hand.shape)
    return Hypothesis(
        hand.pixels, hand.shape, np.full(21, 0.03), 0.95, 1.0, right / 2, right / 2, 0.3, "palms",
        sided if right > 0 else sided[::-1], photo, detector=0.5, task=task,
    )  # fmt: skip


def random_network(seed: int) -> PairJudgeNetwork:
    torch.manual_seed(seed)
    return PairJudgeNetwork().eval()


def test_features_say_what_they_are_called() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (206, 243), 80)
    picture = FakePalms([reading_of(left), reading_of(right)]).seen
    hands = [seen(left, -3.0), seen(right, 3.0, task=0.9), seen(again, -2.0)]
    single, pairs = features(hands, picture, SIZE)
    assert single.shape == (3, 2, len(SINGLE_FEATURES)) and pairs.shape == (3, 3, len(PAIR_FEATURES))
    assert np.isfinite(single).all() and np.isfinite(pairs).all()
    np.testing.assert_array_equal(pairs, pairs.swapaxes(0, 1))

    def one(name: str) -> np.ndarray:
        return single[:, 1, SINGLE_FEATURES.index(name)]

    def two(name: str) -> np.ndarray:
        return pairs[..., PAIR_FEATURES.index(name)]

    signed = [SINGLE_FEATURES.index(name) for name in ("network_right", "shape_right", "palm_right", "photo_right")]
    np.testing.assert_array_equal(single[:, 0, signed], -single[:, 1, signed])
    roles = [SINGLE_FEATURES.index(name) for name in ("role_presence", "role_gap", "role_spread")]
    as_left, as_right = single[:, 0, roles], single[:, 1, roles]
    assert (as_left[0] == as_right[1]).all() and as_right[1, 0] > 0 > as_left[1, 0]
    np.testing.assert_allclose(as_right[1, 1:], (0.05, 0.1))
    rest = np.delete(np.arange(len(SINGLE_FEATURES)), [*signed, *roles])
    np.testing.assert_array_equal(single[:, 0, rest], single[:, 1, rest])
    assert one("network_right")[0] < 0 < one("network_right")[1] and one("palm_right")[0] < 0 < one("palm_right")[1]
    np.testing.assert_allclose(one("gap")[:2], 0.0, atol=1e-9)
    assert one("gap")[2] > 0.05 and list(one("task")) == [0, 0.9, 0]
    assert (one("on_hands") > 0.95).all() and (one("inside") == 1).all()
    assert two("overlap")[0, 2] > 0.7 > 0.1 > two("overlap")[0, 1]
    assert two("gained")[0, 1] > 0.3 > 0.1 > two("gained")[0, 2]
    assert two("one_side")[0, 2] > 0 > two("one_side")[0, 1]
    assert two("partner_gap")[0, 1] < 0.01 < two("partner_gap")[0, 2]


def random_features(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    pairs = rng.normal(size=(count, count, len(PAIR_FEATURES)))
    return rng.normal(size=(count, 2, len(SINGLE_FEATURES))), pairs + pairs.swapaxes(0, 1)


def test_the_verdict_does_not_depend_on_the_order_and_mirrors_with_the_picture() -> None:
    judge = PairJudge(random_network(1))
    single, pairs = random_features()
    verdict = judge(single, pairs)
    assert (np.diag(verdict.pair) == -np.inf).all() and np.isfinite(verdict.single).all()
    order = np.array([3, 0, 4, 1, 2])
    other = judge(single[order], pairs[np.ix_(order, order)])
    np.testing.assert_allclose(other.pair, verdict.pair[np.ix_(order, order)], atol=1e-5)
    np.testing.assert_allclose(other.single, verdict.single[order], atol=1e-5)
    mirror = judge(single[:, ::-1].copy(), pairs)
    np.testing.assert_allclose(mirror.pair, verdict.pair.T, atol=1e-5)
    np.testing.assert_allclose(mirror.single, verdict.single[:, ::-1], atol=1e-5)


def test_no_hypotheses_no_scores() -> None:
    verdict = PairJudge(random_network(1))(*features([], FakePalms().seen, SIZE))
    assert verdict.single.shape == (0, 2) and verdict.pair.shape == (0, 0)


def test_what_was_not_measured_is_nan_and_the_judge_takes_it() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    hands = [seen(left, -3.0), replace(seen(right, 3.0, task=np.nan), sided=(NOT_READ, NOT_READ))]
    single, pairs = features(hands, PictureReading(), SIZE)
    unknown = set(MEASURED_BY["two-hand network"])
    for names, values in ((SINGLE_FEATURES, single), (PAIR_FEATURES, pairs)):
        for column, name in enumerate(names):
            gone = np.isnan(values[..., column])
            if name == "task" or name in MEASURED_BY["reading network, as hands of either side"]:
                assert gone.tolist() == [[False, False], [True, True]]
            else:
                assert gone.all() if name in unknown else not gone.any(), name
    verdict = PairJudge(random_network(2))(single, pairs)
    assert np.isfinite(verdict.single).all() and np.isfinite(verdict.pair[0, 1])


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
    network = random_network(5).half().float()
    PAIR_JUDGE.save(network, tmp_path, {"licence": "Apache-2.0"})
    beside = tmp_path / "two_hand_network.safetensors"
    given = random_features(3)
    np.testing.assert_array_equal(
        PairJudge(PAIR_JUDGE.load(PAIR_JUDGE.beside(beside)))(*given).pair, PairJudge(network)(*given).pair
    )
    elsewhere = PAIR_JUDGE.load(
        PAIR_JUDGE.beside(tmp_path / "other" / beside.name)
    )  # no file there, so the one that ships is loaded
    np.testing.assert_array_equal(PairJudge(elsewhere)(*given).pair, PairJudge(PAIR_JUDGE.load())(*given).pair)
    (tmp_path / PAIR_JUDGE.file).write_bytes(PAIR_JUDGE.bundled.with_name(beside.name).read_bytes())
    with pytest.raises(WeightsError, match="another network"):
        PAIR_JUDGE.load(PAIR_JUDGE.beside(beside))
    (tmp_path / PAIR_JUDGE.file).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="damaged"):
        PAIR_JUDGE.load(PAIR_JUDGE.beside(beside))
    network.context = torch.nn.Linear(3, 2)
    PAIR_JUDGE.save(network, tmp_path, {})
    with pytest.raises(WeightsError, match="another network"):
        PAIR_JUDGE.load(PAIR_JUDGE.beside(beside))
