"""The two-hand network beside the others: crops along its palms, sides, a hidden hand, hands of several people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of, seen_hand
from im2hands.keypoints.choosing.sides import evidence
from im2hands.keypoints.proposing.palm_seeds import fill, match, own_detection, with_sides
from palm_fakes import FakePalms, reading, reading_of

from im2hands.core.camera import Camera
from im2hands.keypoints import finder as two_hand_provider
from im2hands.keypoints.choosing.judge import PairJudge
from im2hands.keypoints.finder import OTHER_PEOPLE, TwoHandProvider
from im2hands.keypoints.hypothesis import HandDetection, WristOffset
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.palms import PalmDetector
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.weights.keypoint_networks import PAIR_JUDGE


@pytest.fixture(scope="module")
def photo_hands() -> list[HandDetection]:
    tasks = MediaPipeProvider(video=False)
    hands = sorted(tasks.detect(frame_of(demo_photo("hands_a.jpg"))), key=lambda hand: hand.pixels[:, 0].mean())
    tasks.close()
    return [replace(hands[0], side="right", score=0.98), replace(hands[1], side="left", score=0.98)]


class NoTasks:
    """Stands in for MediaPipe: returns the hands that it was given."""

    name = "mediapipe"

    def __init__(self, hands: list[HandDetection]) -> None:
        self.hands = hands

    def detect(self, frame: object, previous: object = ()) -> list[HandDetection]:
        return self.hands

    def close(self) -> None:
        pass


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def search(_network: object, _image: object, found: list[HandDetection], **_: object) -> list[HandDetection]:
        calls.append(len(found))
        return list(found)

    monkeypatch.setattr(two_hand_provider, "search", search)
    return calls


def _off(hand: HandDetection, by: float = 0.25) -> HandDetection:
    """Keypoints as inaccurate as a weak network's: rotated, shifted, with the same noise in every run."""
    size = float(np.linalg.norm(hand.pixels[9] - hand.pixels[0]))
    rng = np.random.default_rng(5)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    centre = hand.pixels.mean(axis=0)
    pixels = (hand.pixels - centre) @ turn.T + centre + rng.normal(0, by * size, (21, 2)) + by * size
    return replace(hand, pixels=pixels)


def provider_of(tasks: NoTasks, network: LandmarkNetwork, palms: FakePalms, video: bool = False) -> TwoHandProvider:
    """A provider with the judge that ships and with fakes of MediaPipe and of the two-hand network."""
    judge = PairJudge(PAIR_JUDGE.load())
    return TwoHandProvider(tasks, network, video=video, palms=palms, judge=judge, detector=PalmDetector())  # type: ignore[arg-type]


def test_a_rough_palm_is_enough_for_the_landmark_network(
    shipped: LandmarkNetwork, photo_hands: list[HandDetection], no_search: list[int]
) -> None:
    image = demo_photo("hands_a.jpg")
    rough = [reading_of(_off(hand), right=0.0) for hand in photo_hands]
    palms = FakePalms(rough)
    provider = provider_of(NoTasks([]), shipped, palms)
    hands = provider.detect(frame_of(image))
    assert [(hand.side, hand.source) for hand in hands] == [("left", "palm_seed"), ("right", "palm_seed")]
    for hand, true in zip(hands, reversed(photo_hands), strict=True):
        gap = np.linalg.norm(hand.pixels - true.pixels, axis=1).mean()
        assert gap < 0.12 * np.linalg.norm(true.pixels[9] - true.pixels[0]) and hand.wrist_offset is not None
    assert palms.asked == 1


def test_a_palm_where_no_hand_is_is_searched_on_and_gets_its_own_keypoints_if_it_is_sure(
    network: LandmarkNetwork, photo_hands: list[HandDetection], no_search: list[int]
) -> None:
    image = demo_photo("hands_a.jpg")
    image[:, 460:] = 190  # removes the left hand
    for presence, expected in ((0.9, ["network", "mediapipe"]), (0.2, ["mediapipe"])):
        palms = FakePalms([reading_of(photo_hands[0]), reading_of(photo_hands[1], presence)])
        provider = provider_of(NoTasks(photo_hands[:1]), network, palms)
        hands = provider.detect(frame_of(image))
        assert [hand.source for hand in hands] == expected
    assert no_search == [1]  # only if the network's presence is low, too
    [left, _] = fill(photo_hands[:1], palms.seen, 0.85) and [own_detection(palms.seen.hands[1]), None]
    assert left is not None and left.confidence.max() < 0.2 and left.score == pytest.approx(0.2)


def test_each_hand_is_matched_to_its_own_reading(photo_hands: list[HandDetection]) -> None:
    near = reading_of(photo_hands[0])
    assert match(photo_hands, FakePalms([near]).seen) == [near, None]


def test_the_two_hand_network_settles_sides_that_are_in_doubt_and_no_others() -> None:
    doubtful = replace(seen_hand("left", (150, 100), 30), score=0.55)
    sure = seen_hand("left", (400, 100), 30, score=0.999)
    seen = FakePalms([reading("right", (152, 101), 30), reading("right", (401, 99), 30)]).seen
    hands = with_sides([doubtful, sure], seen)
    assert [hand.side for hand in hands] == ["right", "left"]
    assert 0 > evidence(hands[1]) > evidence(sure) and hands[0].wrist_offset is not None
    agreed = with_sides([doubtful], FakePalms([reading("left", (150, 100), 30)]).seen)
    assert agreed[0].side == "left" and agreed[0].score > 0.9  # agreement raises the score


@pytest.mark.parametrize("video", [False, True])
def test_hands_of_two_people_give_one_persons_and_a_note(
    network: LandmarkNetwork, video: bool, no_search: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwoHandProvider, "_checked", lambda self, image, hand: hand)
    mine = [seen_hand("right", (100, 100), 30, 0.9), seen_hand("left", (220, 100), 30, 0.9)]
    theirs = [seen_hand("right", (400, 300), 30, 0.95), seen_hand("left", (520, 300), 30, 0.95)]
    palms = FakePalms([reading_of(hand) for hand in mine], [reading_of(hand, 0.88) for hand in theirs])
    image = np.full((400, 640, 3), 120, np.uint8)
    # MediaPipe detects one hand of each person.
    tasks = NoTasks([replace(mine[0], score=0.9), replace(theirs[1], score=0.9)])
    provider = provider_of(tasks, network, palms, video=video)
    hands = provider.detect(frame_of(image))
    assert [round(hand.pixels[:, 0].mean()) for hand in hands] == [220, 100]
    assert {hand.note for hand in hands} == {OTHER_PEOPLE}
    assert [hand.source for hand in hands] == ["network", "mediapipe"]


def test_one_hand_stays_one_hand(
    network: LandmarkNetwork, no_search: list[int], photo_hands: list[HandDetection]
) -> None:
    image = demo_photo("hands_a.jpg")
    image[:, 460:] = 190
    palms = FakePalms([reading_of(photo_hands[0])])
    provider = provider_of(NoTasks(photo_hands[:1]), network, palms)
    assert [(hand.side, hand.note) for hand in provider.detect(frame_of(image))] == [("right", "")]


def test_in_a_clip_the_network_is_asked_only_where_hands_are_missing_or_in_doubt(
    network: LandmarkNetwork, no_search: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwoHandProvider, "_checked", lambda self, image, hand: hand)
    left, right = seen_hand("left", (450, 100), 30, 0.99), seen_hand("right", (150, 100), 30, 0.99)
    script: Callable[[int], list[HandDetection]] = lambda k: [left, right] if k % 2 else [left]  # noqa: E731
    palms = FakePalms([reading_of(left), reading_of(right)])
    tasks = NoTasks([])
    provider = provider_of(tasks, network, palms, video=True)
    image = np.full((200, 640, 3), 90, np.uint8)
    for index in range(1, 7):
        tasks.hands = script(index)
        hands = provider.detect(frame_of(image, index))
        assert [hand.side for hand in hands] == ["left", "right"]
        assert palms.asked == index // 2


def test_the_way_between_the_wrists_corrects_the_depth_that_sizes_tell() -> None:
    camera = Camera.from_fov(50, 640, 480)
    left, right = seen_hand("left", (220, 240), 60), seen_hand("right", (420, 240), 60)
    flat = place_hands([left, right], camera)
    assert flat.left is not None and flat.right is not None
    assert abs(flat.right.positions[0, 2] - flat.left.positions[0, 2]) < 0.01
    sure = WristOffset(np.array([1.0, 0.0, 1.0]), np.array([0.1, 0.1, 0.1]))
    told = place_hands(
        [replace(left, wrist_offset=sure), replace(right, wrist_offset=WristOffset(-sure.vector, sure.spread))], camera
    )
    assert told.left is not None and told.right is not None
    apart = told.right.positions[0, 2] - told.left.positions[0, 2]
    assert 0.06 < apart < 0.088
    for now, before in ((told.left, flat.left), (told.right, flat.right)):
        np.testing.assert_allclose(now.positions - now.positions[0], before.positions - before.positions[0], atol=1e-9)
        middle = camera.project(np.stack([now.positions.mean(axis=0), before.positions.mean(axis=0)]))
        np.testing.assert_allclose(middle[0], middle[1], atol=1e-6)  # the hand moved along its own ray
    vague = WristOffset(sure.vector, np.full(3, 3.0))
    unsure = place_hands([replace(left, wrist_offset=vague), right], camera)
    assert unsure.left is not None and unsure.right is not None
    assert abs(unsure.right.positions[0, 2] - unsure.left.positions[0, 2]) < 0.02
