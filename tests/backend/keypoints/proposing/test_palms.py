"""MediaPipe's palm detector alone: its palms lie on the hands, those with low scores included."""

from __future__ import annotations

import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of

from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.proposing.palms import MOST_PALMS, PalmDetector, SuspectedPalms, distinct, joined
from im2hands.keypoints.proposing.photo import suspect_around_hands, suspect_palms
from im2hands.keypoints.proposing.two_hand_network import HandMap, PictureReading
from im2hands.keypoints.proposing.two_hand_pictures import palm_frame
from im2hands.keypoints.reading.network import LandmarkNetwork


@pytest.fixture(scope="module")
def detector() -> PalmDetector:
    return PalmDetector()


@pytest.fixture(scope="module")
def hands() -> list[HandDetection]:
    tasks = MediaPipeProvider()
    found = list(tasks.detect(frame_of(demo_photo("hands_a.jpg"))))
    tasks.close()
    assert len(found) == 2
    return found


@pytest.mark.parametrize("turns", [0, 1])
def test_palms_lie_on_the_hands_and_point_as_they_do(
    detector: PalmDetector, network: LandmarkNetwork, hands: list[HandDetection], turns: int
) -> None:
    image = np.ascontiguousarray(np.rot90(demo_photo("hands_a.jpg"), turns))
    width = demo_photo("hands_a.jpg").shape[1]
    palms = detector.suspect(image)
    assert (np.diff(palms.score) <= 0).all() and len(palms.score) <= MOST_PALMS and palms.score[1] > 0.5
    for hand in hands:
        pixels = hand.pixels if not turns else np.column_stack([hand.pixels[:, 1], width - 1 - hand.pixels[:, 0]])
        centre, up = palm_frame(pixels)
        length = float(np.linalg.norm(up))
        nearest = int(np.argmin(np.linalg.norm(palms.centre[:2] - centre, axis=1)))
        assert np.linalg.norm(palms.centre[nearest] - centre) < 0.55 * length
        turn = np.arctan2(up[0], -up[1]) - palms.turn[nearest]
        assert abs(np.angle(np.exp(1j * turn))) < 0.5
        read = network.read(image, palms.crops()[nearest][None])
        assert read.presence[0] > 0.5
        assert np.linalg.norm(read.pixels[0] - pixels, axis=1).mean() < 0.3 * length


def test_a_part_of_the_picture_is_told_in_the_pixels_of_the_whole(
    detector: PalmDetector, hands: list[HandDetection]
) -> None:
    small = np.full((1600, 2000, 3), 120, np.uint8)
    photo = demo_photo("hands_a.jpg")
    small[900 : 900 + photo.shape[0], 60 : 60 + photo.shape[1]] = photo
    centre = np.array([60 + photo.shape[1] / 2, 900 + photo.shape[0] / 2])
    palms = detector.suspect(small, (centre, 1000.0))
    for hand in hands:
        where = palm_frame(hand.pixels)[0] + (60, 900)
        assert np.linalg.norm(palms.centre[:2] - where, axis=1).min() < 110
    # If the two-hand network finds hands only in a small part, the detector runs on that part too.
    values = np.zeros((64, 64))
    values[32:50, 4:30] = 1.0
    seen = PictureReading(hand_map=HandMap(values, np.array([[64 / 2000, 0, 0], [0, 64 / 2000, 0]])))
    runs, close = suspect_palms(detector, small), suspect_around_hands(detector, small, seen)
    assert (len(runs), len(close)) == (10, 1)  # the whole picture and its parts; the part with hands
    both = joined(*runs, *close)
    assert len(both.score) >= 2 and both.score[1] >= detector.suspect(small).score[:2].min()
    assert suspect_around_hands(detector, small, PictureReading()) == []


def test_of_palms_upon_each_other_the_surest_stays() -> None:
    centre = np.array([[10.0, 10], [11, 10], [40, 10], [10, 10]])
    palms = SuspectedPalms(np.array([0.9, 0.8, 0.7, 0.6]), centre, np.full(4, 20.0), np.array([0.0, 0.1, 0.0, 2.0]))
    kept = distinct(palms)
    np.testing.assert_array_equal(kept.score, [0.9, 0.7, 0.6])  # a palm with another turn is another palm
    twice = joined(kept, SuspectedPalms(np.array([0.95]), np.array([[41.0, 10]]), np.array([20.0]), np.zeros(1)))
    np.testing.assert_array_equal(twice.score, [0.95, 0.9, 0.6])
    nothing = SuspectedPalms(np.zeros(0), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    assert nothing.crops().shape == (0, 4) and len(distinct(nothing).score) == 0


def test_several_parts_at_once_give_what_each_gives_alone() -> None:
    image, many = demo_photo("hands_a.jpg"), PalmDetector(workers=3)
    parts = [None, *((np.array([x, 500.0]), 700.0) for x in (300.0, 500.0, 700.0))]
    for count in range(len(parts) + 1):
        made = many.suspect_each(image, parts[:count])
        alone = [PalmDetector(workers=1).suspect(image, part) for part in parts[:count]]
        for one, other in zip(made, alone, strict=True):
            for name in ("score", "centre", "size", "turn"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_an_empty_picture_has_no_sure_palm(detector: PalmDetector) -> None:
    assert (detector.suspect(np.full((480, 640, 3), 120, np.uint8)).score < 0.3).all()
