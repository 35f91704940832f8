"""Pictures without one person's two bare hands: no hand, one, four, a drawn one, a gloved one, two people's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hand_pictures import demo_photo, frame_of, hand_shape, read_rgb, seen_hand
from im2hands.keypoints.choosing.sides import one_persons, palm_centre

from im2hands.core.hands import KEYPOINT_PARENTS
from im2hands.keypoints.finder import OTHER_PEOPLE
from im2hands.keypoints.hypothesis import HandDetection, KeypointProvider
from im2hands.keypoints.sources import make_provider
from im2hands.lab.datasets.scene import RIGHT
from scene_pictures import make_scene

FINGERPOSE = Path(__file__).resolve().parents[3] / "demo" / "fingerpose"


@pytest.fixture(scope="module")
def provider() -> Iterator[KeypointProvider]:
    """All networks, without the slow crop search."""
    made = make_provider("auto", video=False, crop_search=False)
    yield made
    made.close()


def _sound(hands: list[HandDetection]) -> None:
    """Check that there is at most one hand per side, with numbers that later steps can use."""
    assert [hand.side for hand in hands] in ([], ["left"], ["right"], ["left", "right"])
    for hand in hands:
        assert np.isfinite(hand.pixels).all() and np.isfinite(hand.shape).all()
        assert hand.confidence.min() >= 0 and hand.confidence.max() <= 1 and 0 <= hand.score <= 1


def _drawn_hand() -> np.ndarray:
    """A drawn hand: thick fingers with an outline, on paper."""
    points = np.rint((hand_shape("right", 0.1)[:, :2] / 0.088 * 150) + (320, 400)).astype(int)
    paper = np.full((480, 640, 3), 245, np.uint8)
    for colour, extra in (((20, 20, 20), 6), ((250, 250, 250), 0)):
        for k in range(1, 21):
            ends = tuple(map(int, points[KEYPOINT_PARENTS[k]])), tuple(map(int, points[k]))
            cv2.line(paper, *ends, colour, 34 + extra, cv2.LINE_AA)
        cv2.fillConvexPoly(paper, points[[0, 1, 5, 9, 13, 17]], colour)
    return paper


def _gloved() -> np.ndarray:
    """A right hand in a plain blue glove."""
    scene = make_scene(21, 0, (False, True))
    image = cv2.resize(scene.image(), (512, 512), interpolation=cv2.INTER_CUBIC)
    labels = cv2.resize(scene.label_image(), (512, 512), interpolation=cv2.INTER_NEAREST)
    shade = image.mean(axis=2, keepdims=True) / 255
    return np.where((labels == RIGHT)[..., None], shade * (30, 60, 220), image).astype(np.uint8)


def test_pictures_without_hands_give_none(provider: KeypointProvider) -> None:
    rng = np.random.default_rng(0)
    gradient = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))
    noise = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    boards = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((80, 80, 1))).astype(np.uint8)
    for image in (gradient, noise, boards):
        assert provider.detect(frame_of(image)) == []


@pytest.mark.parametrize("name", ["nocurl.jpg", "halfcurl.jpg", "fullcurl.jpg"])
def test_a_photo_of_one_hand_gives_one(provider: KeypointProvider, name: str) -> None:
    image = read_rgb(FINGERPOSE / name)
    hands = provider.detect(frame_of(image))
    assert len(hands) == 1 and hands[0].note == ""
    turned = provider.detect(frame_of(np.ascontiguousarray(image[:, ::-1])))
    assert [hand.side for hand in turned] == [{"left": "right", "right": "left"}[hands[0].side]]


@pytest.mark.parametrize("picture", [_drawn_hand, _gloved])
def test_drawn_and_gloved_hands_are_at_most_one_hand(provider: KeypointProvider, picture) -> None:
    hands = provider.detect(frame_of(picture()))
    _sound(hands)
    assert len(hands) <= 1


def test_four_hands_give_two_of_one_person_and_a_note(provider: KeypointProvider) -> None:
    first, second = demo_photo("hands_b.jpg"), demo_photo("hands_c.jpg")
    hands = provider.detect(frame_of(np.concatenate([first, second], axis=1)))
    _sound(hands)
    assert [hand.side for hand in hands] == ["left", "right"]
    people = {float(palm_centre(hand.pixels)[0]) > first.shape[1] for hand in hands}
    assert len(people) == 1
    assert {hand.note for hand in hands} == {OTHER_PEOPLE}


def test_two_peoples_right_hands_give_one_and_a_note(provider: KeypointProvider) -> None:
    image = demo_photo("hands_a.jpg")
    right = image[:, : image.shape[1] // 2]  # the right hand is on the left of the photo
    hands = provider.detect(frame_of(np.ascontiguousarray(np.concatenate([right, right], axis=1))))
    _sound(hands)
    if len(hands) == 1:
        assert hands[0].side == "right" and hands[0].note == OTHER_PEOPLE
    else:  # two right hands never both get a high score
        assert min(hand.score for hand in hands) < 0.8


def test_of_many_hands_a_near_pair_of_one_size_is_one_persons() -> None:
    mine = [seen_hand("right", (100, 100), 30, 0.9), seen_hand("left", (220, 110), 32, 0.85)]
    far = seen_hand("left", (900, 500), 31, 0.97)
    large = seen_hand("left", (130, 300), 110, 0.97)
    for others in ([far], [large], [far, large], [seen_hand("right", (560, 220), 30, 0.9)]):
        chosen = one_persons([*others, *mine])
        assert {id(hand) for hand in chosen} == {id(hand) for hand in mine}
    assert one_persons(mine) == mine
