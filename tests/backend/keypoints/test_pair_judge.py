"""The pair judge: features of what may be hands, a verdict on each two, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_pictures import demo_photo, frame_of, seen_hand
from im2hands.errors import WeightsError
from im2hands.keypoints.landmark_network import LandmarkNetwork
from im2hands.keypoints.mediapipe_provider import MediaPipeProvider
from im2hands.keypoints.pair_candidates import Candidate, distinct_palms, find_candidates
from im2hands.keypoints.pair_choice import choose_hands, likely_pair
from im2hands.keypoints.pair_features import PAIR_FEATURES, SINGLE_FEATURES, features
from im2hands.keypoints.pair_judge import PairJudge, Verdict, judged
from im2hands.keypoints.pair_views import CandidateViews, candidate_views
from im2hands.keypoints.palm_reader import HandMap, PalmsSeen
from im2hands.keypoints.provider import HandDetection
from im2hands.keypoints.second_look import SecondLook
from im2hands.networks.pair_judge import PairJudgeNetwork
from im2hands.networks.palm_network import PalmNetwork
from im2hands.weights.pair_judge import BUNDLED_FILE, FILE, load_pair_judge, save_pair_judge
from im2hands.weights.two_hand_network import load_two_hand_network
from palm_fakes import FakePalms, reading_of

SIZE = (640, 480)


def candidate(hand: HandDetection, right: float, task: bool = False) -> Candidate:
    """A candidate that lies where a hand does and is seen surely."""
    look = SecondLook(0.95, 1.0, right, right / 2, hand.pixels, hand.shape, np.full(21, 0.03))
    return Candidate(look, 0.3, hand if task else None)


def own(hand: HandDetection, presence: float = 0.8) -> Candidate:
    """A candidate that the two-hand network alone reads."""
    reading = reading_of(hand, presence)
    look = SecondLook(presence, 0.0, reading.right, reading.right, hand.pixels, hand.shape, reading.spread)
    return Candidate(look, 0.0, reading=reading)


def random_network(seed: int) -> PairJudgeNetwork:
    torch.manual_seed(seed)
    return PairJudgeNetwork().eval()


class Says:
    """A judge that says what it was told."""

    def __init__(self, single: Sequence[Sequence[float]], pair: Sequence[Sequence[float]]) -> None:
        self._verdict = Verdict(np.array(single), np.array(pair), np.array(pair))

    def __call__(self, image: np.ndarray, candidates: Sequence[Candidate], seen: PalmsSeen) -> Verdict:
        return self._verdict


@pytest.fixture(scope="module")
def palms() -> PalmNetwork:
    return load_two_hand_network()


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


def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (480, 640, 3)).astype(np.uint8)


def three(mirrored: bool = False) -> tuple[list[Candidate], PalmsSeen]:
    """Two hands and one of them once more, only told by the two-hand network; or all that in the mirrored picture."""
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (225, 250), 80)
    hands = [left, right, again]
    if mirrored:
        hands = [
            replace(hand, side="right" if hand.side == "left" else "left", pixels=hand.pixels * (-1, 1) + (639, 0),
                    shape=hand.shape * (-1, 1, 1)) for hand in hands
        ]  # fmt: skip
    seen = FakePalms([reading_of(hands[0]), reading_of(hands[1])]).seen
    sign = -1 if mirrored else 1
    return [candidate(hands[0], -3.0 * sign), candidate(hands[1], 2.0 * sign), own(hands[2])], seen


def test_a_hand_is_told_of_as_a_left_and_as_a_right_one(palms: PalmNetwork) -> None:
    image = picture()
    views = candidate_views(palms, image, *three())
    assert len(views) == 3 and all(np.isfinite(getattr(views, f.name)).all() for f in fields(CandidateViews))
    column = SINGLE_FEATURES.index("network_right")
    assert views.single[0, 1, column] < 0 < views.single[0, 0, column] == -views.single[0, 1, column]
    assert list(views.single[:, 1, SINGLE_FEATURES.index("from_palm")]) == [0, 0, 1]
    assert views.ways[0, 1, 1, 0] > 1 and views.ways[0, 0, 1, 0] == -views.ways[0, 1, 1, 0]
    # In the mirrored picture left and right change places, and nothing else is told (but for the fake's wrists' ways).
    mirror = candidate_views(palms, np.ascontiguousarray(image[:, ::-1]), *three(mirrored=True))
    for name in ("single", "points", "vector", "seen", "ways"):
        np.testing.assert_allclose(getattr(mirror, name)[:, ::-1], getattr(views, name), atol=2e-3, err_msg=name)
    np.testing.assert_allclose(mirror.pairs, views.pairs, atol=0.02)


def test_the_verdict_does_not_depend_on_the_order_and_mirrors_with_the_picture() -> None:
    network = random_network(1)
    rng = np.random.default_rng(2)
    shapes = {
        "single": (5, 2, len(SINGLE_FEATURES)), "points": (5, 2, 21, 11), "hand": (5, 2, 9), "vector": (5, 2, 256),
        "seen": (5, 2, 21, 192), "pairs": (5, 5, len(PAIR_FEATURES)), "ways": (5, 2, 5, 3),
    }  # fmt: skip
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    made["pairs"] += made["pairs"].swapaxes(0, 1)
    verdict = judged(network, CandidateViews(**made))
    assert (np.diag(verdict.pair) == 0).all() and (np.diag(verdict.well) == 0).all()
    order = np.array([3, 0, 4, 1, 2])
    turned = {name: value[order] for name, value in made.items()}
    turned["pairs"], turned["ways"] = turned["pairs"][:, order], turned["ways"][:, :, order]
    other = judged(network, CandidateViews(**turned))
    np.testing.assert_allclose(other.pair, verdict.pair[np.ix_(order, order)], atol=1e-5)
    best, same = verdict.best(), other.best()
    assert best is not None and same is not None and tuple(order[list(same)]) == best
    mirrored = {name: value if name == "pairs" else value[:, ::-1].copy() for name, value in made.items()}
    mirror = judged(network, CandidateViews(**mirrored))
    np.testing.assert_allclose(mirror.pair, verdict.pair.T, atol=1e-5)
    np.testing.assert_allclose(mirror.single, verdict.single[:, ::-1], atol=1e-5)


def test_no_candidates_no_verdict(palms: PalmNetwork) -> None:
    verdict = PairJudge(random_network(1), palms)(picture(), [], FakePalms().seen)
    assert verdict.best() is None and verdict.single.shape == (0, 2)


def test_two_hands_are_chosen_before_one_hand_twice() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    again = seen_hand("left", (225, 250), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0), candidate(again, -3.0), candidate(right, 0.5)]
    judge = Says([[0.9, 0.2], [0.8, 0.3], [0.1, 0.9]], [[0, 0.1, 0.8], [0.1, 0, 0.7], [0.1, 0.1, 0]])
    hands = choose_hands(judge, picture(), candidates, [], seen)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["left", "right"] and all(hand.way is not None for hand in hands)
    np.testing.assert_array_equal(hands[0].pixels, left.pixels)
    assert hands[0].confidence.max() <= 0.8


def test_the_judge_has_its_say_in_the_sides() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (440, 240), 80)
    seen = FakePalms([reading_of(left, right=0.0), reading_of(right, right=0.0)]).seen
    candidates = [candidate(left, 0.5), candidate(right, -0.5)]
    judge = Says([[0.9, 0.1], [0.1, 0.9]], [[0, 0.9], [0.05, 0]])
    hands = choose_hands(judge, picture(), candidates, [], seen)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["left", "right"]
    doubtful = Says([[0.9, 0.8], [0.8, 0.9]], [[0, 0.50], [0.49, 0]])
    hands = choose_hands(doubtful, picture(), candidates, [], seen)  # type: ignore[arg-type]
    assert [hand.side for hand in hands] == ["right", "left"]


def test_known_hands_stay_where_no_two_candidates_are_probable() -> None:
    left, right = seen_hand("left", (200, 240), 80), seen_hand("right", (206, 243), 80)
    seen = FakePalms([reading_of(left), reading_of(right)]).seen
    candidates = [candidate(left, -3.0, task=True), candidate(right, 3.0)]
    unlikely = [[0, 0.1], [0.05, 0]]
    judge = Says([[0.88, 0.1], [0.1, 0.85]], unlikely)
    assert choose_hands(judge, picture(), candidates, [left], seen) == [left]  # type: ignore[arg-type]
    alone = Says([[0.1, 0.85]], [[0.0]])
    [hand] = choose_hands(alone, picture(), candidates[1:], [], seen)  # type: ignore[arg-type]
    assert hand.side == "right" and hand.confidence.max() <= 0.85  # no surer than the judge
    nothing = Says([[0.1, 0.1], [0.1, 0.1]], unlikely)
    assert choose_hands(nothing, picture(), candidates, [], seen) == []  # type: ignore[arg-type]
    half = Says([[0.9, 0.1], [0.1, 0.2]], [[0, 0.8], [0, 0]])  # two that are likelier together than one by one
    assert choose_hands(half, picture(), candidates, [left], seen) == [left]  # type: ignore[arg-type]


def test_sure_hands_far_apart_are_two_hands_whatever_else_is_strange() -> None:
    network = random_network(3)
    with torch.no_grad():
        network.joined[-1].weight.zero_()
        network.joined[-1].bias.fill_(-3.0)
        network.alone.weight.zero_()
        network.alone.bias.fill_(2.0)
    none = candidate_nothing(2)
    far = replace(none, pairs=none.pairs + np.array([2.0 if name.endswith("apart") else 0.0 for name in PAIR_FEATURES]))
    assert judged(network, none).pair.max() < 0.1  # the judge's word
    assert judged(network, far).pair.max() == pytest.approx(0.8 * 0.8808**2, abs=1e-3)


def candidate_nothing(count: int) -> CandidateViews:
    """Candidates of which nothing but zeros is told."""
    shapes = {
        "single": (count, 2, len(SINGLE_FEATURES)), "points": (count, 2, 21, 11), "hand": (count, 2, 9),
        "vector": (count, 2, 256), "seen": (count, 2, 21, 192), "pairs": (count, count, len(PAIR_FEATURES)),
        "ways": (count, 2, count, 3),
    }  # fmt: skip
    return CandidateViews(**{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


def test_what_the_two_hand_network_alone_reads_is_a_candidate(network: LandmarkNetwork) -> None:
    image = np.full((480, 640, 3), 90, np.uint8)  # nothing that the landmark network could see
    hand = seen_hand("left", (200, 240), 80)
    [found] = find_candidates(network, image, FakePalms([reading_of(hand)]).seen)
    assert found.reading is not None and found.task is None and found.look.agreement == 0
    detection = found.detection()
    assert detection.source == "network" and detection.side == "left"
    np.testing.assert_array_equal(detection.pixels, hand.pixels)
    point = replace(reading_of(hand), pixels=np.full((21, 2), 100.0))  # of no extent
    assert find_candidates(network, image, FakePalms([point]).seen) == []


def test_candidates_of_a_photo_hold_both_hands_and_known_ones_come_first(
    network: LandmarkNetwork, palms: PalmNetwork, photo_hands: list[HandDetection]
) -> None:
    image = demo_photo("hands_001.jpg")
    seen = FakePalms([reading_of(hand) for hand in photo_hands]).seen
    found = find_candidates(network, image, seen, photo_hands[1:])
    assert found[0].task is photo_hands[1] and all(other.task is None for other in found[1:])
    for hand in photo_hands:
        gaps = [np.linalg.norm(c.look.pixels - hand.pixels, axis=1).mean() for c in found]
        assert min(gaps) < 0.12 * np.linalg.norm(hand.pixels[9] - hand.pixels[0])
    judge = PairJudge(load_pair_judge(), palms)
    hands = choose_hands(judge, image, found, photo_hands[1:], seen)
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
    save_pair_judge(network, tmp_path, {"licence": "Apache-2.0"})
    beside = tmp_path / "two_hand_network.safetensors"
    views = candidate_nothing(3)
    np.testing.assert_array_equal(judged(load_pair_judge(beside), views).pair, judged(network, views).pair)
    elsewhere = load_pair_judge(tmp_path / "other" / beside.name)  # none there: the one that ships
    np.testing.assert_array_equal(judged(elsewhere, views).pair, judged(load_pair_judge(), views).pair)
    (tmp_path / FILE).write_bytes(BUNDLED_FILE.with_name(beside.name).read_bytes())
    with pytest.raises(WeightsError, match="another network"):
        load_pair_judge(beside)
    (tmp_path / FILE).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="damaged"):
        load_pair_judge(beside)
    network.alone = torch.nn.Linear(3, 2)
    save_pair_judge(network, tmp_path, {})
    with pytest.raises(WeightsError, match="another network"):
        load_pair_judge(beside)
