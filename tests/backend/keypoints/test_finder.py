"""The provider as a whole: photos that ship, clips of fake detections, pauses of the search, boxes, odd pictures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hand_pictures import DEMO_PHOTOS, demo_photo, frame_of, seen_hand

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.keypoints import finder as two_hand_provider
from im2hands.keypoints.finder import TwoHandProvider
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.proposing.boxes import find_boxed
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.reading.consensus import Consensus
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.sources import make_provider
from im2hands.media.source import Frame


class FakeTasks:
    """Stands in for MediaPipe: returns the hands that ``script`` gives for the frame's index."""

    name = "mediapipe"

    def __init__(self, script: Callable[[int], list[HandDetection]]) -> None:
        self.script = script

    def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
        return self.script(frame.index)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("name", DEMO_PHOTOS)
def test_the_demo_photos_show_a_right_hand_at_the_left_and_a_left_hand_at_the_right(name: str) -> None:
    provider = make_provider(video=False)
    image = demo_photo(name)
    hands = provider.detect(frame_of(image))
    provider.close()
    assert [hand.side for hand in hands] == ["left", "right"]
    left, right = hands
    assert right.pixels[:, 0].max() < image.shape[1] / 2 < left.pixels[:, 0].min()
    assert all(hand.score > 0.8 and hand.confidence.shape == (21,) for hand in hands)
    camera = Camera.from_fov(50, image.shape[1], image.shape[0])
    for hand in place_hands(hands, camera).present():
        miss = np.linalg.norm(camera.project(hand.positions) - hand.pixels, axis=1)
        palm_px = DEFAULT_PALM_M * camera.fx / hand.positions[:, 2].mean()
        assert miss.mean() < 0.08 * palm_px and 0.1 < hand.positions[:, 2].mean() < 1.5


def test_the_mirrored_photo_has_the_sides_exchanged() -> None:
    provider = make_provider(video=False, crop_search=False)
    hands = provider.detect(frame_of(np.ascontiguousarray(demo_photo("hands_b.jpg")[:, ::-1])))
    provider.close()
    assert [hand.side for hand in hands] == ["left", "right"]
    assert hands[1].pixels[:, 0].mean() < hands[0].pixels[:, 0].mean()


def test_a_clip_of_the_photo_keeps_both_hands_though_its_times_stand_still() -> None:
    provider = make_provider(video=True)
    previous: list[HandDetection] = []
    for index in range(1, 6):
        previous = provider.detect(frame_of(demo_photo("hands_a.jpg"), index, time=0.0), previous)
        assert [hand.side for hand in previous] == ["left", "right"]
    provider.close()


def test_a_hand_that_mediapipe_loses_is_followed_from_the_frame_before(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_a.jpg")
    tasks = MediaPipeProvider(video=False)
    both = sorted(tasks.detect(frame_of(image)), key=lambda hand: hand.pixels[:, 0].mean())
    tasks.close()
    truth = [replace(both[0], side="right", score=0.98), replace(both[1], side="left", score=0.98)]
    lost = TwoHandProvider(FakeTasks(lambda i: truth[:1]), network, video=True, crop_search=False)
    hands = lost.detect(frame_of(image, 2), truth)
    assert [(hand.side, hand.source) for hand in hands] == [("left", "tracking"), ("right", "mediapipe")]
    gap = np.linalg.norm(hands[0].pixels - truth[1].pixels, axis=1).mean()
    assert gap < 0.15 * np.ptp(truth[1].pixels, axis=0).max()
    gone = image.copy()
    gone[:, 460:] = 190
    assert [hand.side for hand in lost.detect(frame_of(gone, 3), hands)] == ["right"]


def test_a_clip_with_one_hand_is_searched_rarely_and_at_once_when_a_hand_is_lost(
    network: LandmarkNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    now = [0]

    def no_search(_network, _image, found=(), **_options):
        searched.append(now[0])
        return list(found)

    monkeypatch.setattr(two_hand_provider, "search", no_search)
    left, right = seen_hand("left", (150, 100), 30), seen_hand("right", (50, 100), 30)

    def script(index: int) -> list[HandDetection]:
        return [left, right] if index in (70, 71) else [left]

    provider = TwoHandProvider(FakeTasks(script), network, video=True)
    for index in range(1, 81):
        now[0] = index
        image = np.full((200, 200, 3), index, np.uint8)
        hands = provider.detect(frame_of(image, index))
        assert len(hands) == (2 if index in (70, 71) else 1)
    assert searched == [1, 6, 15, 32, 65, 72, 77]


def test_photos_are_searched_once_each_and_again_from_the_cache(
    network: LandmarkNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    calls = []
    found = [seen_hand("left", (150, 100), 30), seen_hand("right", (50, 100), 30)]
    monkeypatch.setattr(two_hand_provider, "search", lambda *a, **k: calls.append(1) or found)
    image = np.full((200, 200, 3), 7, np.uint8)
    for folder, expected in ((None, 1), (tmp_path, 2), (tmp_path, 2)):
        provider = TwoHandProvider(FakeTasks(lambda i: []), network, video=False, cache_folder=folder)
        for index in (1, 2):
            assert len(provider.detect(frame_of(image, index))) == 2
        assert len(calls) == expected
    off = TwoHandProvider(FakeTasks(lambda i: []), network, video=False, crop_search=False)
    assert off.detect(frame_of(image)) == [] and len(calls) == 2


def test_boxes_and_points_name_the_hands_and_replace_the_search(
    network: LandmarkNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_hand_provider, "search", lambda *a, **k: pytest.fail("searched"))
    image = demo_photo("hands_b.jpg")
    content = {"frames": {"000004": {"left": [540, 180, 800, 560], "right": [200, 360]}, "5": {"left": [640, 400]}}}
    provider = TwoHandProvider(FakeTasks(lambda i: []), network, video=False, hand_boxes=HandBoxes.from_dict(content))
    hands = provider.detect(frame_of(image, 4))
    assert [(hand.side, hand.source) for hand in hands] == [("left", "boxes"), ("right", "boxes")]
    np.testing.assert_allclose(hands[0].pixels.mean(axis=0), (669, 362), atol=40)
    np.testing.assert_allclose(hands[1].pixels.mean(axis=0), (204, 357), atol=40)
    assert [hand.side for hand in provider.detect(frame_of(image, 5))] == ["left"]


def test_a_person_knows_the_side_better_than_the_network_and_an_empty_box_gives_no_hand(
    network: LandmarkNetwork,
) -> None:
    image = demo_photo("hands_b.jpg")
    hands = find_boxed(network, image, {"right": np.array([540.0, 180, 800, 560])})
    assert [hand.side for hand in hands] == ["right"] and hands[0].pixels[:, 0].mean() > 500
    assert find_boxed(network, np.full((300, 300, 3), 99, np.uint8), {"left": np.array([50.0, 50, 200, 200])}) == []


def test_mediapipes_own_hand_fills_the_side_a_person_left_open(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_b.jpg")
    boxes = HandBoxes.from_dict({"frames": {"all": {"left": [540, 180, 800, 560]}}})
    provider = TwoHandProvider(MediaPipeProvider(video=False), network, video=False, hand_boxes=boxes)
    hands = provider.detect(frame_of(image))
    assert [(hand.side, hand.source) for hand in hands] == [("left", "boxes"), ("right", "mediapipe")]


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 500), (6000, 8000)])
def test_pictures_of_odd_sizes_have_no_hands_and_break_nothing(network: LandmarkNetwork, size) -> None:
    provider = TwoHandProvider(MediaPipeProvider(video=False), network, video=False, crop_search=size == (4, 4))
    assert provider.detect(frame_of(np.full((*size, 3), 120, np.uint8))) == []


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(InputError, match="no keypoint provider 'openpose'"):
        make_provider("openpose", video=False)


def test_importing_is_light_and_standard_output_stays_clean() -> None:
    code = (
        "import sys, numpy as np; import im2hands.keypoints.sources as k; from im2hands.media.source import Frame\n"
        "assert not {'mediapipe', 'ai_edge_litert', 'torch'} & set(sys.modules)\n"
        "p = k.make_provider(video=False)\n"
        "p.detect(Frame(1, 0.0, np.zeros((64, 64, 3), np.uint8), 'x')); p.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == ""
    assert "XNNPACK" not in done.stderr and "W0000" not in done.stderr


class FakeReader:
    """Stands in for a network that can be given a side."""

    takes_sides = True

    def mediapipe(self) -> str:
        return "mediapipe"

    def close(self) -> None:
        pass


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("video", [False, True])
def test_hands_are_read_once_more_for_the_side_they_turned_out_to_be(
    monkeypatch: pytest.MonkeyPatch, video: bool, steady: bool
) -> None:
    left, right = seen_hand("left", (150, 100), 30), seen_hand("right", (50, 100), 30)
    asked: list[int] = []

    def read_repeatedly(network, _image, pixels, crops_each=7, side=0):
        if network == "mediapipe":  # MediaPipe's network
            return [Consensus(0.97, float(steady and crops_each < 7), 0.0, 0.0, pixels[0], left.shape, np.ones(21))]
        asked.append(side)
        moved = {-1: 4.0, 1: 90.0, 0: 0.0}[side]  # the reading of the right hand is another hand
        agree = float(side != 0)
        return [Consensus(0.97, agree, 4.0 * side, 3.0, pixels[0] + moved, left.shape * 2, np.full(21, 0.05))]

    monkeypatch.setattr(two_hand_provider, "read_repeatedly", read_repeatedly)
    provider = TwoHandProvider(FakeTasks(lambda i: [left, right]), FakeReader(), video=video, crop_search=False)
    hands = provider.detect(frame_of(np.full((200, 200, 3), 9, np.uint8)))
    assert [hand.side for hand in hands] == ["left", "right"]
    if steady:  # a steady reading of MediaPipe's network stays
        assert asked == [] and (hands[0].pixels == left.pixels).all()
        return
    assert asked == [-1, 1]
    np.testing.assert_allclose(hands[0].pixels, left.pixels + 4)
    np.testing.assert_allclose(hands[0].shape, left.shape * 2)
    assert (hands[0].confidence > 0.9).all() and hands[0].source == "mediapipe"
    np.testing.assert_allclose(hands[1].pixels, right.pixels)
