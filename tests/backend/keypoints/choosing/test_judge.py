"""The pair judge: features of the candidates, its verdict on pairs, and the hands chosen from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_pictures import demo_photo, frame_of, seen_hand
from im2hands.keypoints.choosing.candidates import Candidate, SidedReading, distinct_palms, find_candidates
from im2hands.keypoints.choosing.pair import choose_hands, likely_pair
from palm_fakes import FakePalms, reading_of

from im2hands.core.errors import WeightsError
from im2hands.keypoints.choosing.features import features
from im2hands.keypoints.choosing.judge import PairJudge, Verdict
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.two_hand_network import HandMap
from im2hands.keypoints.reading.consensus import Consensus
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.networks.pair_judge import PAIR_FEATURES, SINGLE_FEATURES, PairJudgeNetwork
from im2hands.weights.keypoint_networks import PAIR_JUDGE

SIZE = (640, 480)


def candidate(hand: HandDetection, right: float, detected: bool = False) -> Candidate:
    """A candidate read with high presence where a hand lies."""
    look = Consensus(0.95, 1.0, right, right / 2, hand.pixels, hand.shape, np.full(21, 0.03))
    by_side = (SidedReading(0.2, 0.4, 0.2), SidedReading(0.9, 0.05, 0.1))
    return Candidate(look, 0.3, hand if detected else None, by_side=by_side if right > 0 else by_side[::-1])


def own(hand: HandDetection, presence: float = 0.8) -> Candidate:
    """A candidate that only the two-hand network reads."""
    reading = reading_of(hand, presence)
    look = Consensus(presence, 0.0, reading.right, reading.right, hand.pixels, hand.shape, reading.spread)
    return Candidate(look, 0.0, reading=reading)


def random_network(seed: int) -> PairJudgeNetwork:
    torch.manual_seed(seed)
    return PairJudgeNetwork().eval()


class Says:
    """Stands in for the judge: returns the probabilities that it was given."""

    def __init__(self, single: Sequence[Sequence[float]], pair: Sequence[Sequence[float]]) -> None:
        both = np.array(pair)
        self._verdict = Verdict(np.array(single), both, both, np.minimum(both + both.T, 1))

    def __call__(self, single: np.ndarray, pairs: np.ndarray) -> Verdict:
        return self._verdict


@pytest.fixture(scope="module")
def photo_hands() -> list[HandDetection]:
    tasks = MediaPipeProvider(video=False)
    hands = sorted(tasks.detect(frame_of(demo_photo("hands_a.jpg"))), key=lambda hand: hand.pixels[:, 0].mean())
    tasks.close()
    return hands


def test_features_say_what_they_are_called() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (206, 243), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0), candidate(right, 3.0, detected=True), candidate(again, -2.0)]
    single, pairs = features(candidates, seen, SIZE)
    assert single.shape == (3, 2, len(SINGLE_FEATURES)) and pairs.shape == (3, 3, len(PAIR_FEATURES))
    assert np.isfinite(single).all() and np.isfinite(pairs).all()
    np.testing.assert_array_equal(pairs, pairs.swapaxes(0, 1))

    def one(name: str) -> np.ndarray:
        return single[:, 1, SINGLE_FEATURES.index(name)]

    def two(name: str) -> np.ndarray:
        return pairs[..., PAIR_FEATURES.index(name)]

    signed = [SINGLE_FEATURES.index(name) for name in ("network_right", "shape_right", "palm_right")]
    np.testing.assert_array_equal(single[:, 0, signed], -single[:, 1, signed])
    roles = [SINGLE_FEATURES.index(name) for name in ("role_presence", "role_gap", "role_spread")]
    as_left, as_right = single[:, 0, roles], single[:, 1, roles]
    assert (as_left[0] == as_right[1]).all() and as_right[1, 0] > 0 > as_left[1, 0]
    np.testing.assert_allclose(as_right[1, 1:], (0.05, 0.1))
    rest = np.delete(np.arange(len(SINGLE_FEATURES)), [*signed, *roles])
    np.testing.assert_array_equal(single[:, 0, rest], single[:, 1, rest])
    assert one("network_right")[0] < 0 < one("network_right")[1] and one("palm_right")[0] < 0 < one("palm_right")[1]
    np.testing.assert_allclose(one("gap")[:2], 0.0, atol=1e-9)
    assert one("gap")[2] > 0.05 and list(one("from_task")) == [0, 1, 0]
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
    assert (np.diag(verdict.pair) == 0).all() and (np.diag(verdict.well) == 0).all()
    order = np.array([3, 0, 4, 1, 2])
    other = judge(single[order], pairs[np.ix_(order, order)])
    np.testing.assert_allclose(other.pair, verdict.pair[np.ix_(order, order)], atol=1e-5)
    best, same = verdict.best(), other.best()
    assert best is not None and same is not None and tuple(order[list(same)]) == best
    mirror = judge(single[:, ::-1].copy(), pairs)
    np.testing.assert_allclose(mirror.pair, verdict.pair.T, atol=1e-5)
    np.testing.assert_allclose(mirror.single, verdict.single[:, ::-1], atol=1e-5)


def test_no_candidates_no_verdict() -> None:
    verdict = PairJudge(random_network(1))(*features([], FakePalms().seen, SIZE))
    assert verdict.best() is None and verdict.single.shape == (0, 2)


def test_the_best_pair_holds_what_it_must() -> None:
    pair = np.array([[0, 0.9, 0.1], [0.2, 0, 0.3], [0.1, 0.4, 0]])
    verdict = Verdict(np.full((3, 2), 0.5), pair, 0 * pair, pair + pair.T)
    assert verdict.best() == (0, 1) and verdict.best([2]) == (2, 1) and verdict.best([2, 0]) in ((0, 2), (2, 0))


def test_two_hands_are_chosen_before_one_hand_twice() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (225, 250), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0), candidate(again, -3.0), candidate(right, 0.5)]
    judge = Says([[0.9, 0.2], [0.8, 0.3], [0.1, 0.9]], [[0, 0.1, 0.8], [0.1, 0, 0.7], [0.1, 0.1, 0]])
    hands = choose_hands(judge, candidates, [], seen, SIZE)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["left", "right"] and all(hand.wrist_offset is not None for hand in hands)
    np.testing.assert_array_equal(hands[0].pixels, left.pixels)
    assert hands[0].confidence.max() <= 0.9


def test_the_judge_has_its_say_in_the_sides() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    seen = FakePalms([reading_of(left, right=0.0), reading_of(right, right=0.0)]).seen
    candidates = [candidate(left, 0.5), candidate(right, -0.5)]
    judge = Says([[0.9, 0.1], [0.1, 0.9]], [[0, 0.9], [0.05, 0]])
    hands = choose_hands(judge, candidates, [], seen, SIZE)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["left", "right"]
    doubtful = Says([[0.9, 0.8], [0.8, 0.9]], [[0, 0.50], [0.49, 0]])
    hands = choose_hands(doubtful, candidates, [], seen, SIZE)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["right", "left"]


def test_known_hands_stay_where_no_two_candidates_are_probable() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (206, 243), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0, detected=True), candidate(right, 3.0)]
    unlikely = [[0, 0.1], [0.05, 0]]
    judge = Says([[0.88, 0.1], [0.1, 0.85]], unlikely)
    assert choose_hands(judge, candidates, [left], seen, SIZE) == [left]  # type: ignore[arg-type]
    alone = Says([[0.1, 0.85]], [[0.0]])
    [hand] = choose_hands(alone, candidates[1:], [], seen, SIZE)  # type: ignore[arg-type]
    assert hand.side == "right" and hand.confidence.max() <= 0.85  # at most the judge's probability
    nothing = Says([[0.1, 0.1], [0.1, 0.1]], unlikely)
    assert choose_hands(nothing, candidates, [], seen, SIZE) == []  # type: ignore[arg-type]
    half = Says([[0.9, 0.1], [0.1, 0.15]], [[0, 0.8], [0, 0]])  # a probable pair of which one hand alone is improbable
    assert choose_hands(half, candidates, [left], seen, SIZE) == [left]  # type: ignore[arg-type]


def test_a_hand_that_mediapipe_sees_surely_is_one_of_the_two() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (225, 250), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    judge = Says([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [[0, 0, 0.85], [0, 0, 0.9], [0, 0, 0]])
    for agreement, expected in ((1.0, left), (0.5, again)):
        known = candidate(left, -3.0, detected=True)
        known = replace(known, look=replace(known.look, agreement=agreement))
        hands = choose_hands(judge, [known, candidate(again, -3.0), candidate(right, 3.0)], [left], seen, SIZE)  # type: ignore[arg-type]
        np.testing.assert_array_equal(hands[0].pixels, expected.pixels)
        np.testing.assert_array_equal(hands[1].pixels, right.pixels)


def test_what_lies_within_a_hand_that_is_surely_seen_must_be_surer() -> None:
    left, inner, beside = (seen_hand("left" if x < 300 else "right", (x, 240), 80) for x in (200, 215, 440))
    seen = FakePalms([reading_of(left), reading_of(beside)]).seen
    doubtful = Says([[0.9, 0.1], [0.1, 0.9]], [[0, 0.6], [0, 0]])
    sure = candidate(left, -3.0, detected=True)
    unsteady = replace(sure, look=replace(sure.look, agreement=0.5))
    for first, second, count in ((sure, inner, 1), (sure, beside, 2), (unsteady, inner, 2)):
        hands = choose_hands(doubtful, [first, candidate(second, 3.0)], [left], seen, SIZE)  # type: ignore[arg-type]
        assert len(hands) == count


def test_what_the_two_hand_network_alone_reads_must_be_surer() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    made = {False: [candidate(left, -3.0), candidate(right, 3.0)], True: [own(left), own(right)]}
    for owns, probability, count in (((0, 0), 0.55, 2), ((0, 1), 0.55, 0), ((0, 1), 0.65, 2), ((1, 1), 0.65, 0)):
        judge = Says([[0.4, 0.1], [0.1, 0.4]], [[0, probability], [0, 0]])
        candidates = [made[bool(is_own)][k] for k, is_own in enumerate(owns)]
        assert len(choose_hands(judge, candidates, [], seen, SIZE)) == count  # type: ignore[arg-type]


def test_sure_hands_far_apart_are_two_hands_whatever_else_is_strange() -> None:
    network = random_network(3)
    with torch.no_grad():
        last = network.together[-1]
        assert isinstance(last, torch.nn.Linear)
        for layer, bias in ((last, -3.0), (network.alone, 2.0)):
            layer.weight.zero_()
            layer.bias.fill_(bias)
    judge = PairJudge(network)
    none, near = np.zeros((2, 2, len(SINGLE_FEATURES))), np.zeros((2, 2, len(PAIR_FEATURES)))
    far = near + np.array([2.0 if name.endswith("apart") else 0.0 for name in PAIR_FEATURES])
    assert judge(none, near).two.max() < 0.1  # the network's own probability
    assert judge(none, far).two.max() == pytest.approx(0.8, abs=1e-3)


def test_a_hand_that_no_crop_shows_lies_near_the_other_one() -> None:
    judge = PairJudge(random_network(4))
    single, pairs = random_features(2)
    single[..., SINGLE_FEATURES.index("from_palm")] = [[0, 0], [1, 1]]
    apart = PAIR_FEATURES.index("palms_apart")
    for distance, possible in ((1.0, True), (3.0, False)):
        pairs[..., apart] = distance
        assert bool(judge(single, pairs).two[0, 1] > 0) == possible
    single[..., SINGLE_FEATURES.index("from_palm")] = 0
    assert judge(single, pairs).two[0, 1] > 0


def test_what_the_two_hand_network_alone_reads_is_a_candidate(network: LandmarkNetwork) -> None:
    image = np.full((480, 640, 3), 90, np.uint8)  # no hand for the landmark network
    hand = seen_hand("left", (200, 240), 80)
    [found] = find_candidates(network, image, FakePalms([reading_of(hand)]).seen)
    assert found.reading is not None and found.mediapipe_detection is None and found.look.agreement == 0
    detection = found.detection()
    assert detection.source == "network" and detection.side == "left"
    np.testing.assert_array_equal(detection.pixels, hand.pixels)
    assert find_candidates(network, image, FakePalms([reading_of(hand, 0.4)]).seen) == []  # the presence is too low


def test_candidates_of_a_photo_hold_both_hands_and_known_ones_come_first(
    network: LandmarkNetwork, photo_hands: list[HandDetection]
) -> None:
    image = demo_photo("hands_a.jpg")
    seen = FakePalms([reading_of(hand) for hand in photo_hands]).seen
    found = find_candidates(network, image, seen, photo_hands[1:])
    assert found[0].mediapipe_detection is photo_hands[1] and all(
        other.mediapipe_detection is None for other in found[1:]
    )
    for hand in photo_hands:
        gaps = [np.linalg.norm(c.look.pixels - hand.pixels, axis=1).mean() for c in found]
        assert min(gaps) < 0.12 * np.linalg.norm(hand.pixels[9] - hand.pixels[0])
    judge = PairJudge(PAIR_JUDGE.load())
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
    network.alone = torch.nn.Linear(3, 2)
    PAIR_JUDGE.save(network, tmp_path, {})
    with pytest.raises(WeightsError, match="another network"):
        PAIR_JUDGE.load(PAIR_JUDGE.beside(beside))


def test_candidates_are_read_for_each_side_and_the_true_one_is_seen(photo_hands: list[HandDetection]) -> None:
    """On a photo, the reading network given the true side reads the hand in its place."""
    image = demo_photo("hands_a.jpg")
    told = [replace(photo_hands[0], side="right"), replace(photo_hands[1], side="left")]
    seen = FakePalms([reading_of(hand) for hand in told]).seen
    network = LandmarkNetwork.bundled()
    found = find_candidates(network, image, seen, told)[:2]
    network.close()
    assert [candidate.mediapipe_detection for candidate in found] == told
    own, other = ([c.by_side[side] for c, side in zip(found, sides, strict=True)] for sides in ((1, 0), (0, 1)))
    assert all(read.presence > 0.5 and read.gap < 0.3 and 0 < read.spread < 0.25 for read in own)
    # On photographs the network separates the sides less clearly than on renderings, so both hands are summed.
    assert sum(read.presence for read in own) > sum(read.presence for read in other) + 0.02
    assert sum(read.spread for read in own) < sum(read.spread for read in other)
    plain = LandmarkNetwork()
    assert not plain.takes_sides and find_candidates(plain, image, seen, told)[0].by_side[0].presence == 0.5
    plain.close()


def test_hands_that_mediapipe_does_not_see_must_be_surer() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    over = seen_hand("right", (215, 245), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen

    def chosen(first: Candidate, second: Candidate, probability: float) -> int:
        judge = Says([[0.9, 0.1], [0.1, 0.9]], [[0, probability], [0, 0]])
        return len(choose_hands(judge, [first, second], [], seen, SIZE))  # type: ignore[arg-type]

    known, beside, hidden = candidate(left, -3.0), candidate(right, 3.0), candidate(over, 3.0)
    assert chosen(known, beside, 0.55) == 2
    for unseen in (replace(beside, mediapipe_presence=0.1), replace(hidden, mediapipe_presence=0.1)):
        assert [chosen(known, unseen, probability) for probability in (0.6, 0.7)] == [1, 2]
    neither = replace(known, mediapipe_presence=0.1), replace(hidden, mediapipe_presence=0.1)
    assert [chosen(*neither, probability) for probability in (0.7, 0.85)] == [0, 2]
