"""The crop around the hands: its position, its camera, and hands outside the picture."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import hand_positions, picture
from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError
from im2hands.core.hands import SIDES, HandKeypoints, Side, TwoHands
from im2hands.media.source import Frame
from im2hands.surfaces.hand_crop import CROP_SIZE, FLESH_M, crop_affine, crop_hands

CAMERA = Camera(600.0, 620.0, 300.0, 250.0, 640, 480)


def _hand(side: Side, shift: tuple[float, float, float] = (0, 0, 0)) -> HandKeypoints:
    return HandKeypoints(side, hand_positions(side) + shift, np.zeros((21, 2)), np.ones(21), 1.0, "test")


def _frame(image: np.ndarray | None = None) -> Frame:
    return Frame(1, 0.0, picture(640, 480) if image is None else image, "shot.png")


BOTH = TwoHands(_hand("left"), _hand("right"))


def test_the_worked_example() -> None:
    affine = crop_affine(np.array([100.0, 50.0]), np.array([300.0, 150.0]))
    assert np.allclose(affine, [[1.024, 0, -76.8], [0, 1.024, 25.6]])
    corners = np.array([[100, 50, 1], [300, 150, 1]]) @ affine.T
    assert np.allclose(corners, [[25.6, 76.8], [230.4, 179.2]])


def test_the_crop_camera_sees_what_the_crop_shows() -> None:
    crop = crop_hands(_frame(), CAMERA, BOTH)
    assert crop.image.shape == (CROP_SIZE, CROP_SIZE, 3) and crop.image.dtype == np.uint8
    assert (crop.camera.width, crop.camera.height) == (CROP_SIZE, CROP_SIZE)
    assert np.array_equal(crop.camera.rotation, np.eye(3)) and not crop.camera.translation.any()
    for hand in BOTH.present():
        expected = CAMERA.project(hand.positions) @ crop.affine[:, :2].T + crop.affine[:, 2]
        assert np.allclose(crop.camera.project(hand.positions), expected)


@pytest.mark.parametrize("sides", [SIDES, ("left",), ("right",)])
def test_the_hands_and_their_flesh_fill_four_fifths(sides: tuple[Side, ...]) -> None:
    hands = TwoHands(**{side: BOTH.get(side) for side in sides})  # type: ignore[arg-type]
    camera = crop_hands(_frame(), CAMERA, hands).camera
    ends = []
    for hand in hands.present():
        for shift in np.array([[-1, -1, 0], [1, 1, 0]]) * FLESH_M:
            ends.append(camera.project(hand.positions + shift))
    low, high = np.concatenate(ends).min(0), np.concatenate(ends).max(0)
    assert np.isclose((high - low).max(), 0.8 * CROP_SIZE)
    assert np.allclose((low + high) / 2, CROP_SIZE / 2)


def test_the_picture_moves_with_its_camera() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    wrist = BOTH.present()[0].positions[0]
    column, row = np.rint(CAMERA.project(wrist)).astype(int)
    image[row - 2 : row + 3, column - 2 : column + 3] = (250, 100, 50)
    crop = crop_hands(_frame(image), CAMERA, BOTH)
    rows, columns = np.nonzero(crop.image[..., 0] > 125)
    assert np.allclose([columns.mean(), rows.mean()], crop.camera.project(wrist), atol=1.0)
    assert crop.image[rows, columns].max(0).tolist() == [250, 100, 50]  # RGB stays RGB


def test_black_beyond_the_photo() -> None:
    white = np.full((480, 640, 3), 255, np.uint8)
    crop = crop_hands(_frame(white), CAMERA, TwoHands(left=_hand("left", (-0.15, 0, 0))))
    edge = crop.affine[0, 2]  # the column of the photo's first pixel
    assert 20 < edge < CROP_SIZE - 20
    assert not crop.image[:, : int(edge) - 1].any() and (crop.image[100:150, int(edge) + 2 :] == 255).all()


def test_the_network_sees_normalised_colours() -> None:
    grey = np.full((480, 640, 3), (124, 116, 104), np.uint8)
    array = crop_hands(_frame(grey), CAMERA, TwoHands(left=_hand("left", (0.05, 0, 0)))).network_input()
    assert array.shape == (3, CROP_SIZE, CROP_SIZE) and array.dtype == np.float32
    assert np.abs(array[:, 128, 128]).max() < 0.02  # ImageNet's mean colour


def test_a_picture_smaller_than_the_crop() -> None:
    small = CAMERA.resized(64, 48)
    crop = crop_hands(_frame(picture(64, 48)), small, BOTH)
    assert crop.image.any() and crop.image.shape == (CROP_SIZE, CROP_SIZE, 3)


def test_hands_that_cannot_be_seen() -> None:
    outside = TwoHands(_hand("left"), _hand("right", (3.0, 0, 0)))
    with pytest.raises(FrameError, match="right hand lies outside the picture"):
        crop_hands(_frame(), CAMERA, outside)
    with pytest.raises(FrameError, match="left hand lies behind the camera"):
        crop_hands(_frame(), CAMERA, TwoHands(left=_hand("left", (0, 0, -0.5))))
    with pytest.raises(FrameError, match="no hand"):
        crop_hands(_frame(), CAMERA, TwoHands())
