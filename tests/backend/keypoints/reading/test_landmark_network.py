"""The landmark network on crops: geometry, agreement with MediaPipe, many crops, cancelling, repeated readings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of
from hypothesis import given, settings
from hypothesis import strategies as st

from im2hands.core.errors import Cancelled
from im2hands.keypoints.hand_geometry import palm_length
from im2hands.keypoints.looking import Readers
from im2hands.keypoints.proposing.mediapipe import MediaPipeProvider
from im2hands.keypoints.reading import network as reading
from im2hands.keypoints.reading.consensus import read_repeatedly
from im2hands.keypoints.reading.crops import CROP_PIXELS, crops_around, warp_crop
from im2hands.keypoints.reading.litert import Interpreters
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.keypoints.reading.readings import Part


def dot_picture(at: tuple[int, int], size: int = 400) -> np.ndarray:
    image = np.zeros((size, size, 3), np.float32)
    cv2.circle(image, at, 6, (255, 255, 255), -1)
    return cv2.GaussianBlur(image, (0, 0), 2).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.floats(120, 280), st.floats(120, 280), st.floats(150, 300), st.floats(-3.1, 3.1))
def test_a_crop_shows_what_its_centre_size_and_turn_say(x: float, y: float, size: float, turn: float) -> None:
    place = np.array([x, y]) + 0.2 * size * np.array([np.sin(turn), -np.cos(turn)])  # towards the crop's upper edge
    at = tuple(int(v) for v in np.rint(place))
    crop = warp_crop([dot_picture(at)], np.array([x, y, size, turn]))
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[0:CROP_PIXELS, 0:CROP_PIXELS]
    seen = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    expected = (np.array([0.5, 0.3])) * CROP_PIXELS - 0.5
    np.testing.assert_allclose(seen, expected, atol=1.5 * CROP_PIXELS / size)


def test_a_large_crop_is_taken_from_a_smaller_level_at_the_same_place() -> None:
    image = dot_picture((310, 250), 800)
    half = cv2.resize(image, (400, 400), interpolation=cv2.INTER_AREA)
    crop = np.array([400.0, 400.0, 700.0, 0.4])
    direct, by_level = warp_crop([image], crop), warp_crop([image, half], crop)
    places = [np.argwhere(c[..., 0] > 60).mean(axis=0) for c in (direct, by_level)]
    np.testing.assert_allclose(places[0], places[1], atol=0.3)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.5, 2), st.floats(-100, 100), st.floats(-100, 100))
def test_the_next_crop_moves_turns_and_grows_with_the_hand(turn: float, scale: float, x: float, y: float) -> None:
    hand = np.random.default_rng(3).uniform(0, 100, (21, 2))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    before = crops_around(hand[None])[0]
    after = crops_around((hand @ rotation.T * scale + (x, y))[None])[0]
    np.testing.assert_allclose(after[:2], before[:2] @ rotation.T * scale + (x, y), atol=1e-6)
    assert after[2] == pytest.approx(before[2] * scale)
    assert np.cos(after[3] - before[3] - turn) == pytest.approx(1)


def test_an_upright_hand_has_an_upright_crop_that_holds_it_all() -> None:
    pixels = np.array([(0, 0)] + [(10 * f, -80 - 20 * k) for f in range(5) for k in range(4)], float)
    x, y, size, turn = crops_around(pixels[None])[0]
    assert abs(turn) < 0.4
    assert (np.abs(pixels - (x, y)).max(axis=0) < size / 2).all()


def test_the_network_sees_what_mediapipe_sees(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_a.jpg")
    provider = MediaPipeProvider()
    hands = provider.detect(frame_of(image))
    provider.close()
    assert len(hands) == 2
    readings = network.read(image, crops_around(np.array([hand.pixels for hand in hands])))
    for row, hand in enumerate(hands):
        gap = np.linalg.norm(readings.pixels[row] - hand.pixels, axis=1).mean() / palm_length(hand.pixels)
        assert readings.presence[row] > 0.9 and gap < 0.12
        turned = readings.shape[row] - readings.shape[row].mean(0) - (hand.shape - hand.shape.mean(0))
        assert np.linalg.norm(turned, axis=1).mean() < 0.02


def test_readings_turn_with_the_picture(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_a.jpg")
    crop = np.array([[665.0, 340.0, 480.0, 0.0]])
    straight = network.read(image, crop)
    turned_image = np.ascontiguousarray(np.rot90(image, -1))  # clockwise: (x, y) -> (H - 1 - y, x)
    last = image.shape[0] - 1
    turned = network.read(turned_image, np.array([[last - 340.0, 665.0, 480.0, np.pi / 2]]))
    back = np.stack([turned.pixels[0, :, 1], last - turned.pixels[0, :, 0]], axis=-1)
    np.testing.assert_allclose(back, straight.pixels[0], atol=3)
    expected = straight.shape[0] * (1, 1, 1)
    expected = np.stack([-expected[:, 1], expected[:, 0], expected[:, 2]], axis=-1)
    np.testing.assert_allclose(turned.shape[0], expected, atol=0.004)


def test_mirror_images_are_cut_out_once_and_read_as_the_mirrored_picture(
    network: LandmarkNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = demo_photo("hands_a.jpg")
    crop, last, cut = np.array([[665.0, 340.0, 480.0, 0.3]]), image.shape[1] - 1, []
    turned = network.read(image[:, ::-1], crop * (-1, 1, 1, -1) + (last, 0, 0, 0))
    monkeypatch.setattr(reading, "warp_crop", lambda *given: (cut.append(1), warp_crop(*given))[1])
    straight, mirrored = network.read_parts(image, [Part(crop), Part(crop, mirrored=True)])
    assert len(cut) == 1
    np.testing.assert_allclose(mirrored.pixels, turned.pixels * (-1, 1) + (last, 0), atol=1)
    np.testing.assert_allclose(mirrored.shape, turned.shape * (-1, 1, 1), atol=0.002)
    np.testing.assert_allclose(mirrored.right, 1 - turned.right, atol=0.02)
    np.testing.assert_allclose(mirrored.pixels, straight.pixels, atol=20)
    assert Part(crop, side=1, mirrored=True).told == -1


def test_a_network_that_remembers_reads_a_crop_of_a_picture_once_in_each_way(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, image, run, ran = readers.network, demo_photo("hands_a.jpg"), Interpreters.run, []
    crops = np.array([[665.0, 340.0, 480.0, 0.3], [200.0, 330.0, 470.0, 0.0]])
    plain = network.read_parts(image, [Part(crops), Part(crops[:1], mirrored=True)])
    monkeypatch.setattr(Interpreters, "run", lambda self, *given: (ran.append(1), run(self, *given))[1])
    keeping = network.remembering()
    assert keeping.remembering() is keeping
    keeping.read(image, crops[1:])
    first = keeping.read_parts(image, [Part(crops), Part(crops[:1], mirrored=True)])
    again = keeping.read_parts(image, [Part(crops), Part(crops[:1], mirrored=True)])
    assert len(ran) == 3
    for one, other, expected in zip(first, again, plain, strict=True):
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(one, name), value)
            np.testing.assert_array_equal(getattr(other, name), value)
    keeping.mediapipe().read(image, crops)
    keeping.mediapipe().read(image, crops)
    assert len(ran) == 5
    keeping.read(image.copy(), crops)  # another picture, as far as it knows
    assert len(ran) == 7


def test_threads_that_ask_at_a_time_get_their_own_features(network: LandmarkNetwork) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (6, 1, CROP_PIXELS, CROP_PIXELS, 3), dtype=np.uint8)
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(network.features, pictures))
    np.testing.assert_array_equal(np.concatenate(at_once), network.features(pictures[:, 0]))


def test_many_crops_come_back_in_order_whatever_the_number_of_workers(network: LandmarkNetwork) -> None:
    image = demo_photo("hands_b.jpg")
    crops = np.array([(200.0 + 9 * i, 350.0, 420.0, 0.1 * i) for i in range(37)])
    told: list[int] = []
    many = network.read(image, crops, done=told.append)
    single = LandmarkNetwork(workers=1)
    one_by_one = [single.read(image, crop) for crop in crops[::9]]
    single.close()
    for row, one in zip(range(0, 37, 9), one_by_one, strict=True):
        np.testing.assert_allclose(many.pixels[row], one.pixels[0], atol=1e-3)
    assert told[-1] == 37 and told == sorted(told)
    assert len(network.read(image, np.zeros((0, 4)))) == 0


def test_reading_stops_when_asked(network: LandmarkNetwork) -> None:
    with pytest.raises(Cancelled):
        network.read(demo_photo("hands_b.jpg"), np.tile([300.0, 300, 200, 0], (500, 1)), cancelled=lambda: True)


@pytest.mark.parametrize(("name", "xs"), [("hands_a.jpg", (230, 676)), ("hands_c.jpg", (211, 661))])
def test_a_second_look_settles_sides_that_one_look_gets_wrong(network: LandmarkNetwork, name: str, xs) -> None:
    image = demo_photo(name)
    crops = np.array([(x, 360.0, 460.0, 0.0) for x in xs])
    readings = network.read(image, crops_around(network.read(image, crops).pixels))
    right, left = read_repeatedly(network, image, readings.pixels)
    assert right.right > 1.0 and left.right < -1.0
    assert min(right.agreement, left.agreement) > 0.9 and min(right.presence, left.presence) > 0.9
    assert right.detection("x").side == "right" and left.detection("x").side == "left"
    mirrored = read_repeatedly(network, image[:, ::-1], readings.pixels * (-1, 1) + (image.shape[1] - 1, 0))
    assert mirrored[0].right == pytest.approx(-right.right, abs=0.4)


def test_a_second_look_at_bare_wall_sees_no_hand(network: LandmarkNetwork) -> None:
    image = np.full((300, 300, 3), 180, np.uint8)
    pixels = np.random.default_rng(0).uniform(100, 200, (1, 21, 2))
    look = read_repeatedly(network, image, pixels)[0]
    assert look.presence < 0.3 and look.agreement < 0.5
