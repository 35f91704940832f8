"""The lifting network's hands: its input features, how its outputs are used, and what a take's cache keeps of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hand_pictures import hand_shape

from im2hands.core.camera import Camera
from im2hands.core.errors import WeightsError
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST
from im2hands.job.detection_cache import DetectionCache
from im2hands.keypoints.hypothesis import HandDetection, HandMask, LiftedHand, SkinLandmarks
from im2hands.keypoints.placing import lift
from im2hands.keypoints.placing.joint_definitions import to_own_definition
from im2hands.keypoints.placing.lift import HandLifter
from im2hands.keypoints.placing.lifting_features import between, lifting_features, turn_to_ray
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.reading.mask import read_mask
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.networks.lifting_network import Lifted, LiftingInput, LiftingNetwork
from im2hands.networks.two_hand_network import TwoHandNetwork
from im2hands.weights.keypoint_networks import LIFTING, READING
from scene_pictures import make_scene

CAMERA = Camera.from_fov(50.0, 320, 240)


@pytest.fixture(scope="module")
def palms() -> TwoHandNetwork:
    torch.manual_seed(0)
    return TwoHandNetwork().eval()


@pytest.fixture(scope="module")
def reader() -> Iterator[LandmarkNetwork]:
    made = LandmarkNetwork(workers=2, reading=READING.load())
    yield made
    made.close()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(1)
    return cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)


def seen(side: str, x: float, source: str = "crops") -> HandDetection:
    shape = hand_shape(side)
    pixels = shape[:, :2] * 700 + (x, 120)
    return HandDetection(side, pixels, shape, np.linspace(0.2, 0.9, 21), 0.9, source)


def told_of(true: np.ndarray, camera: Camera, other: np.ndarray | None = None) -> LiftedHand:
    """What a perfect lifting network returns for a hand (21, 3), camera frame, metres."""
    pixels = camera.project(true)
    palm = np.linalg.norm(true[MIDDLE_MCP] - true[WRIST])
    shape = (true - true[WRIST]) @ turn_to_ray(camera.unproject(pixels, 1.0).mean(axis=0)) / palm
    depth = None if other is None else float((other[WRIST, 2] - true[WRIST, 2]) / palm)
    sure = None if other is None else 0.02
    return LiftedHand(shape, np.full(21, 0.02), pixels, np.full(21, 0.5), depth, sure)


def test_a_left_hand_is_told_of_as_the_right_one_in_the_mirror(
    palms: TwoHandNetwork, reader: LandmarkNetwork, picture: np.ndarray
) -> None:
    left, right = seen("left", 110), seen("right", 210)
    straight = lifting_features(palms, reader, picture, [left, right])
    last = picture.shape[1] - 1

    def mirrored(hand: HandDetection, side: str) -> HandDetection:
        return replace(hand, side=side, pixels=hand.pixels * (-1, 1) + (last, 0), shape=hand.shape * (-1, 1, 1))

    turned = lifting_features(palms, reader, picture[:, ::-1], [mirrored(left, "right"), mirrored(right, "left")])
    for a, b in zip(straight, turned, strict=True):
        assert a.mirrored != b.mirrored
        for name in ("points", "hand", "vector", "seen"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=2e-3)
        np.testing.assert_allclose(a.close, b.close, atol=0.3)  # the mirrored crop is shifted by part of a pixel
        assert np.abs(a.close - b.close).mean() < 0.02 < a.close.mean()
    np.testing.assert_allclose(between(*straight), between(*turned), atol=1e-9)
    # The right hand lies to the right of the left hand, which is mirrored; the left hand lies to the left of it.
    assert between(straight[0], straight[1])[0] < 0 and between(straight[1], straight[0])[0] < 0
    assert not between(straight[0], None).any()


def test_an_untrained_network_leaves_hands_nearly_as_they_are(
    palms: TwoHandNetwork, reader: LandmarkNetwork, picture: np.ndarray
) -> None:
    torch.manual_seed(2)
    lifter = HandLifter(LiftingNetwork().eval(), palms, reader)
    hands = [seen("left", 110), seen("right", 210)]
    both, alone = lifter.lift(picture, hands), lifter.lift(picture, hands[:1])
    assert [hand.lifted is not None for hand in both] == [True, True]
    for hand in (*both, *alone):
        assert hand.lifted is not None
        palm = np.linalg.norm(hand.shape[MIDDLE_MCP] - hand.shape[WRIST])
        read = (hand.shape - hand.shape[WRIST]) / palm
        # The conversion from MediaPipe's joints to the bundled hand's moves a tip by a tenth of a palm.
        assert np.abs(hand.lifted.shape - read).max() < 0.6
        assert np.linalg.norm(hand.lifted.pixels - hand.pixels, axis=1).max() < 0.6 * palm * 700
        assert (hand.lifted.spread > 0).all() and (hand.lifted.pixel_spread > 0).all()
        assert hand.skin is not None and hand.skin.pixels.shape == (128, 2) and (hand.skin.spread > 0).all()
        gaps = np.linalg.norm(hand.skin.pixels[:, None] - hand.pixels, axis=-1).min(axis=1)
        assert np.median(gaps) < 0.5 * palm * 700  # on the hand, even of a picture without one
    assert both[0].lifted is not None and both[0].lifted.depth is not None
    assert alone[0].lifted is not None and alone[0].lifted.depth is None


def test_a_network_that_tells_no_numbers_leaves_the_hand_as_read_with_its_mask(
    palms: TwoHandNetwork, reader: LandmarkNetwork, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(2)
    network = LiftingNetwork().eval()
    places: list[np.ndarray] = []

    def mask(encoder: object, image: np.ndarray, pixels: np.ndarray, unit: float) -> HandMask:
        places.append(pixels)
        return HandMask(np.zeros((4, 4), np.float16), np.eye(2, 3))

    monkeypatch.setattr(lift, "read_mask", mask)
    lifter = HandLifter(network, palms, reader, object())  # type: ignore[arg-type]
    forward = network.forward

    def broken(given: LiftingInput) -> Lifted:
        made = forward(given)
        shape, places = made.shape.clone(), made.places.clone()
        shape[1, 4, 2], places[1] = torch.nan, torch.nan
        return made._replace(shape=shape, places=places)

    monkeypatch.setattr(network, "forward", broken)
    left, right = lifter.lift(picture, [seen("left", 110), seen("right", 210)])
    assert left.lifted is not None and right.lifted is None
    assert right.mask is left.mask is not None and right.skin is not None
    np.testing.assert_array_equal(places[0], np.concatenate([left.lifted.pixels, right.pixels]))


def test_a_mask_is_where_the_encoder_sees_hands(picture: np.ndarray) -> None:
    class Half:
        """An encoder that takes the right half of its crop for a hand of doubtful side."""

        def parameters(self) -> Iterator[torch.Tensor]:
            return iter([torch.zeros(1)])

        def masks(self, image: torch.Tensor) -> torch.Tensor:
            assert image.shape == (1, 3, 256, 256)
            return torch.where(torch.arange(16) >= 8, 0.0, -9.0).expand(1, 2, 16, 16)

    pixels = np.array([[30.0, 20.0], [130.0, 60.0]])
    mask = read_mask(Half(), picture, pixels, 40.0)  # type: ignore[arg-type]
    assert mask.chance.dtype == np.float16 and (mask.chance[:, 8:] == 1).all() and (mask.chance[:, :8] < 0.01).all()
    # The middle of the box lies in the middle of the map, and the box with its margin fills four fifths of it.
    np.testing.assert_allclose(mask.to_map @ (80, 40, 1), 7.5, atol=0.1)
    np.testing.assert_allclose(mask.to_map[0, 0] * (100 + 2 * 0.13 * 40), 0.8 * 16)


def test_hands_without_extent_are_left_alone(
    palms: TwoHandNetwork, reader: LandmarkNetwork, picture: np.ndarray
) -> None:
    lifter = HandLifter(LiftingNetwork().eval(), palms, reader)
    flat = replace(seen("left", 100), pixels=np.full((21, 2), 50.0))
    lost = replace(seen("right", 200), shape=np.full((21, 3), np.nan))
    assert lifter.lift(picture, []) == []
    result = lifter.lift(picture, [flat, lost])
    assert [hand.lifted for hand in result] == [None, None]
    mixed = lifter.lift(picture, [flat, seen("right", 200)])
    assert mixed[0].lifted is None and mixed[1].lifted is not None and mixed[1].lifted.depth is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_it_tells_is_where_hands_are_put(seed: int) -> None:
    """With perfect shapes and depths, keypoints and the distance between the hands are correct within millimetres."""
    scene = make_scene(seed)
    k = scene.intrinsics.astype(float)
    camera = Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], *(int(v) for v in scene.size))
    true = {side: scene.keypoints[i].astype(float) for i, side in enumerate(SIDES)}
    palm = {side: float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST])) for side, points in true.items()}
    rng = np.random.default_rng(seed)
    detections = []
    for side, other in (("left", "right"), ("right", "left")):
        wrong = rng.normal(0, 0.03, (21, 3))  # the shape that was read is not used
        lifted = told_of(true[side], camera, true[other])
        pixels = camera.project(true[side]) + rng.normal(0, 1, (21, 2))
        detections.append(HandDetection(side, pixels, true[side] + wrong, np.ones(21), 0.9, "network", lifted=lifted))
    hands = place_hands(detections, camera, float(np.mean(list(palm.values()))))
    assert hands.left is not None and hands.right is not None
    for side in SIDES:
        made = hands.get(side).positions  # type: ignore[union-attr]
        miss = np.linalg.norm(made - made[WRIST] - (true[side] - true[side][WRIST]), axis=1)
        assert miss.mean() < 0.012, side
    depth = hands.right.positions[WRIST, 2] - hands.left.positions[WRIST, 2]
    assert abs(depth - (true["right"][WRIST, 2] - true["left"][WRIST, 2])) < 0.012
    # Another estimate of the depth is followed, according to its expected error.
    moved = [replace(d, lifted=replace(d.lifted, depth=d.lifted.depth + sign))
             for d, sign in zip(detections, (1.0, -1.0), strict=True)]  # fmt: skip
    farther = place_hands(moved, camera, float(np.mean(list(palm.values()))))
    assert farther.left is not None and farther.right is not None
    change = farther.right.positions[WRIST, 2] - farther.left.positions[WRIST, 2] - depth
    assert 0.05 < change < 0.11


def test_keypoints_are_moved_in_the_picture_by_much_or_hardly() -> None:
    """Small shifts by the network are hardly applied, large shifts almost fully."""
    scene = make_scene(6)
    k = scene.intrinsics.astype(float)
    camera = Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], *(int(v) for v in scene.size))
    true = scene.keypoints[1].astype(float)
    lifted = told_of(true, camera)
    palm = np.linalg.norm(true[MIDDLE_MCP] - true[WRIST]) * k[0, 0] / true[:, 2].mean()
    read = lifted.pixels
    wrong = np.zeros((21, 2))
    wrong[8], wrong[12] = (0.05 * palm, 0.0), (1.0 * palm, 0.0)
    lifted = replace(lifted, pixels=to_own_definition(read, true, "right", "crops")[0] - wrong)

    def left_over(confidence: float, source: str) -> np.ndarray:
        seen = HandDetection("right", read, true, np.full(21, confidence), 0.9, source, lifted=lifted)
        hand = place_hands([seen], camera).right
        assert hand is not None
        return np.asarray(np.linalg.norm(hand.pixels - lifted.pixels, axis=1) / palm)

    sure = left_over(1.0, "crops")
    assert sure[8] > 0.04 and sure[12] < 0.1 and np.delete(sure, [8, 12]).max() < 1e-6
    assert left_over(0.1, "crops")[8] < 0.01  # a keypoint with low confidence is moved further
    assert left_over(1.0, "two_hand_network").max() < 1e-6  # a hand that only the two-hand network read is moved fully


def test_sure_keypoints_are_more_confident() -> None:
    true = make_scene(4).keypoints[1].astype(float)
    scene = make_scene(4)
    k = scene.intrinsics.astype(float)
    camera = Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], *(int(v) for v in scene.size))
    lifted = told_of(true, camera)
    spread = np.full(21, 0.02)
    spread[8] = 0.5
    hand = HandDetection(
        "right", lifted.pixels, true, np.ones(21), 0.9, "mediapipe", lifted=replace(lifted, spread=spread)
    )
    made = place_hands([hand], camera).right
    assert made is not None and made.confidence[8] < made.confidence[7]
    lost = np.full((21, 2), np.nan)
    assert place_hands([replace(hand, pixels=lost, lifted=replace(lifted, pixels=lost))], camera).right is None


def test_a_take_keeps_what_was_told(tmp_path: Path) -> None:
    scene = make_scene(5)
    k = scene.intrinsics.astype(float)
    camera = Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], *(int(v) for v in scene.size))
    left, right = (scene.keypoints[i].astype(float) for i in range(2))
    hands = [
        replace(seen("left", 100), lifted=told_of(left, camera, right)),
        replace(seen("right", 200), lifted=told_of(right, camera)),
        seen("right", 210),
    ]
    rng = np.random.default_rng(5)
    skin = SkinLandmarks(rng.random((128, 2)), rng.random(128), rng.random(128))
    mask = HandMask(rng.random((6, 6)).astype(np.float16), rng.random((2, 3)))
    hands[1] = replace(hands[1], skin=skin, mask=mask)
    cache = DetectionCache(tmp_path)
    cache.write(3, "key", hands)
    kept = cache.read(3, "key")
    assert kept is not None and kept[2].lifted is None and kept[0].skin is None and kept[1].skin is not None
    for name, value in vars(skin).items():
        np.testing.assert_array_equal(getattr(kept[1].skin, name), value)
    assert kept[0].mask is None and kept[1].mask is not None
    for name, value in vars(mask).items():
        np.testing.assert_array_equal(getattr(kept[1].mask, name), value)
    cache.write(4, "key", [replace(hands[0], mask=replace(mask, chance=mask.chance[:3]))])
    assert cache.read(4, "key") is None
    cache.write(4, "key", [replace(hands[0], skin=replace(skin, spread=skin.spread[:9]))])
    assert cache.read(4, "key") is None
    for before, after in zip(hands[:2], kept[:2], strict=True):
        assert before.lifted is not None and after.lifted is not None
        for field in fields(LiftedHand):
            a, b = getattr(before.lifted, field.name), getattr(after.lifted, field.name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(b, a)
                assert isinstance(b, float) == isinstance(a, float)


def test_weights_come_back_and_damage_is_told_of(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = LiftingNetwork()
    LIFTING.save(model, tmp_path, {"licence": "Apache-2.0"})
    again = LIFTING.load(tmp_path / LIFTING.file)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float())
    with pytest.raises(WeightsError, match="missing"):
        LIFTING.load(tmp_path / "none" / LIFTING.file)
    data = (tmp_path / LIFTING.file).read_bytes()
    (tmp_path / LIFTING.file).write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        LIFTING.load(tmp_path / LIFTING.file)
