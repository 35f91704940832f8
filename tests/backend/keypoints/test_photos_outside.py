"""Real photos and a clip that must not be in the repository, from ``shared/`` beside the checkout."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hand_pictures import OUTSIDE, frame_of, read_rgb

from im2hands.core.camera import Camera
from im2hands.keypoints.finder import HandFinder
from im2hands.keypoints.looking import Readers
from im2hands.keypoints.placing.solve import place_hands

TWO_HANDS = ("heart.png", "heart2.png", "timeout.png")
ONE_HAND = {
    "hagrid_one_hand/gun.png": "left",
    "hagrid_one_hand/026fd791-8f64-4fae-8cb0-0e01dc4362ce.jpg": "right",
    "hagrid_one_hand/06aa70cc-a12a-4b1e-85cf-e54d44c19a3a.jpg": "left",
    "mediapipe_samples/hand_thumb_up.jpg": "left",
}
CLIP = "internal_only/two_hands_180_frames.mp4"
FRAMES = 60
"""The first frames of the clip; all of them take too long for a test."""

pytestmark = pytest.mark.skipif(
    not OUTSIDE.is_dir(),
    reason=f"{len(TWO_HANDS) + len(ONE_HAND) + 1} cases on real photos and a clip left out: "
    "there is no folder shared/assets/photos beside the checkout",
)


@pytest.mark.parametrize("name", TWO_HANDS)
def test_hands_that_touch_are_both_found_on_their_sides(shipped: HandFinder, name: str) -> None:
    image = read_rgb(OUTSIDE / "hagrid_two_hands" / name)
    hands = shipped.detect(frame_of(image))
    assert [hand.side for hand in hands] == ["left", "right"]
    left, right = hands
    # The person faces the camera: the right hand's wrist is on the left of the picture.
    assert right.pixels[0, 0] < left.pixels[0, 0]
    camera = Camera.from_fov(50, image.shape[1], image.shape[0])
    for hand in place_hands(hands, camera).present():
        palm_px = 0.088 * camera.fx / hand.positions[:, 2].mean()
        assert np.linalg.norm(camera.project(hand.positions) - hand.pixels, axis=1).mean() < 0.06 * palm_px


@pytest.mark.parametrize("name", ONE_HAND)
def test_one_hand_gets_no_invented_second_hand(readers: Readers, name: str) -> None:
    frame = frame_of(read_rgb(OUTSIDE / name))
    for hands in ("auto", ONE_HAND[name]):
        assert [hand.side for hand in HandFinder(readers, hands=hands).detect(frame)] == [ONE_HAND[name]]


def test_the_clip_shows_both_hands_on_their_sides_nearly_always(shipped: HandFinder) -> None:
    clip = cv2.VideoCapture(str(OUTSIDE / CLIP))
    frames = []
    for index in range(1, FRAMES + 1):
        ok, image = clip.read()
        assert ok
        frames.append(frame_of(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), index, (index - 1) / 30))
    found = shipped.detect_clip(frames)
    both = [hands for hands in found if len(hands) == 2]
    assert len(both) >= 0.95 * FRAMES
    # In these frames the hands do not cross.
    assert all(left.pixels[:, 0].mean() > right.pixels[:, 0].mean() for left, right in both)
