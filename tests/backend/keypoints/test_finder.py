"""The finder as a whole: photos that ship, what a person says, boxes, clips, cancelling, odd sizes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hand_pictures import DEMO_PHOTOS, demo_photo, frame_of

from im2hands.core.camera import Camera
from im2hands.core.errors import Cancelled, InputError
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.looking import Readers
from im2hands.keypoints.placing.solve import DEFAULT_PALM_M, place_hands
from im2hands.keypoints.proposing.box_file import HandBoxes
from im2hands.keypoints.proposing.boxes import find_boxed
from im2hands.keypoints.reading.litert import Interpreters
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.sources import make_provider

BOX_OF_LEFT = [540, 180, 800, 560]
"""The left hand in hands_b.jpg."""


@pytest.mark.parametrize("name", DEMO_PHOTOS)
def test_the_demo_photos_show_a_right_hand_at_the_left_and_a_left_hand_at_the_right(
    shipped: HandFinder, name: str
) -> None:
    image = demo_photo(name)
    hands = shipped.detect(frame_of(image))
    assert [hand.side for hand in hands] == ["left", "right"]
    left, right = hands
    assert right.pixels[:, 0].max() < image.shape[1] / 2 < left.pixels[:, 0].min()
    assert all(hand.score > 0.5 and hand.confidence.shape == (21,) and hand.note == "" for hand in hands)
    camera = Camera.from_fov(50, image.shape[1], image.shape[0])
    for hand in place_hands(hands, camera).present():
        miss = np.linalg.norm(camera.project(hand.positions) - hand.pixels, axis=1)
        palm_px = DEFAULT_PALM_M * camera.fx / hand.positions[:, 2].mean()
        assert miss.mean() < 0.08 * palm_px and 0.1 < hand.positions[:, 2].mean() < 1.5


def test_the_mirrored_photo_has_the_mirrored_answer(readers: Readers) -> None:
    finder, image = HandFinder(readers), demo_photo("hands_b.jpg")
    plain = finder.detect(frame_of(image))
    turned = finder.detect(frame_of(np.ascontiguousarray(image[:, ::-1])))
    assert [hand.side for hand in plain] == [hand.side for hand in turned] == ["left", "right"]
    for hand, other in zip(plain, reversed(turned), strict=True):
        gap = np.linalg.norm(hand.pixels * (-1, 1) + (image.shape[1] - 1, 0) - other.pixels, axis=1).mean()
        assert gap < 0.1 * np.linalg.norm(hand.pixels[9] - hand.pixels[0])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_person_who_says_one_hand_gets_that_hand_and_no_other(
    shipped: HandFinder, readers: Readers, side: str
) -> None:
    frame = frame_of(demo_photo("hands_a.jpg"))
    [hand] = HandFinder(readers, hands=side).detect(frame)
    other = next(found for found in shipped.detect(frame) if found.side == side)
    assert hand.side == side
    np.testing.assert_allclose(hand.pixels.mean(axis=0), other.pixels.mean(axis=0), atol=10)


def test_boxes_and_points_name_the_hands(readers: Readers) -> None:
    content = {"frames": {"000004": {"left": BOX_OF_LEFT, "right": [200, 360]}}}
    finder = HandFinder(readers, boxes=HandBoxes.from_dict(content))
    left, right = finder.detect(frame_of(demo_photo("hands_b.jpg"), 4))
    assert (left.side, right.side) == ("left", "right")
    np.testing.assert_allclose(left.pixels.mean(axis=0), (669, 362), atol=40)
    np.testing.assert_allclose(right.pixels.mean(axis=0), (204, 357), atol=40)


def test_a_persons_box_wins_over_what_the_networks_think_of_the_side(readers: Readers) -> None:
    boxes = HandBoxes.from_dict({"frames": {"all": {"right": BOX_OF_LEFT}}})
    hands = HandFinder(readers, boxes=boxes).detect(frame_of(demo_photo("hands_b.jpg")))
    right = next(hand for hand in hands if hand.side == "right")
    assert right.pixels[:, 0].mean() > 500
    alone = HandFinder(readers, boxes=boxes, hands="right").detect(frame_of(demo_photo("hands_b.jpg")))
    assert [hand.side for hand in alone] == ["right"] and alone[0].pixels[:, 0].mean() > 500


def test_a_box_in_which_no_hand_is_gives_none(network: LandmarkNetwork) -> None:
    found = find_boxed(network, demo_photo("hands_b.jpg"), {"right": np.array(BOX_OF_LEFT, float)})
    assert list(found) == ["right"] and found["right"][:, 0].mean() > 500
    assert find_boxed(network, np.full((300, 300, 3), 99, np.uint8), {"left": np.array([50.0, 50, 200, 200])}) == {}


def test_a_clip_begins_without_hands_has_a_cut_and_goes_black(readers: Readers) -> None:
    image, black = demo_photo("hands_a.jpg"), np.zeros_like(demo_photo("hands_a.jpg"))
    # Another shot: darker, and mirrored, so that each hand is where the other one was.
    other = np.ascontiguousarray((image[:, ::-1] * 0.4).astype(np.uint8))
    shown = [black, image, np.roll(image, 4, axis=1), other, other, black]
    finder = HandFinder(readers)
    found = finder.detect_clip([frame_of(one, index, index / 25) for index, one in enumerate(shown, 1)])
    assert [len(hands) for hands in found] == [0, 2, 2, 2, 2, 0]
    middle = image.shape[1] / 2
    for hands in found[1:5]:
        left, right = hands
        assert (left.side, right.side) == ("left", "right")
        assert right.pixels[:, 0].mean() < middle < left.pixels[:, 0].mean()


def test_a_followed_frame_reads_four_crops_of_each_hand(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    image, read = demo_photo("hands_a.jpg"), []
    run = Interpreters.run
    monkeypatch.setattr(Interpreters, "run", lambda self, *given: (read.append(1), run(self, *given))[1])
    whole = HandFinder(readers).look(frame_of(image, 1), [])
    seen = len(read)
    followed = HandFinder(readers).look(frame_of(image, 2), [whole])
    assert whole.whole and not followed.whole and seen > 40 and len(read) - seen == 8
    assert all(np.isnan(part.presence) for hand in followed.hypotheses for part in hand.sided)
    assert np.isfinite(followed.verdict.single).all() and np.isfinite(followed.verdict.pair[0, 1])


def test_a_clip_of_one_frame_and_of_none(readers: Readers) -> None:
    finder = HandFinder(readers)
    [hands] = finder.detect_clip([frame_of(demo_photo("hands_c.jpg"))])
    assert [hand.side for hand in hands] == ["left", "right"]
    assert finder.detect_clip([]) == []


def test_looking_at_a_photo_stops_when_asked(readers: Readers) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Cancelled):
        HandFinder(readers, cancelled=lambda: next(asked)).detect(frame_of(demo_photo("hands_a.jpg")))


@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 500), (3000, 4000)])
def test_pictures_of_odd_sizes_have_no_hands_and_break_nothing(shipped: HandFinder, size: tuple[int, int]) -> None:
    assert shipped.detect(frame_of(np.full((*size, 3), 120, np.uint8))) == []


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(InputError, match="no keypoint provider 'openpose'"):
        make_provider("openpose")


def test_importing_is_light_and_standard_output_stays_clean() -> None:
    code = (
        "import sys, numpy as np; import im2hands.job.reconstruct, im2hands.keypoints.sources as k\n"
        "from im2hands.media.source import Frame\n"
        "assert not {'mediapipe', 'ai_edge_litert', 'torch'} & set(sys.modules)\n"
        "p = k.make_provider()\n"
        "p.detect(Frame(1, 0.0, np.zeros((64, 64, 3), np.uint8), 'x')); p.close()\n"
        "if 'matplotlib' not in sys.modules: print('matplotlib is left out')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "matplotlib is left out\n"
    assert "XNNPACK" not in done.stderr and "W0000" not in done.stderr
