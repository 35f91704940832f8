"""Evidence that is hidden, contradictory, cut off, wrong or no number gives possible hands, in photos and in clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from chain_hands import random_hands
from hand_pictures import seen_hand
from test_both_hands import CAMERA, told
from test_outline import read_hand, shown_mask

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS, SIDES, TwoHands
from im2hands.keypoints.hypothesis import HandDetection, SkinLandmarks
from im2hands.keypoints.placing.clip import place_clip
from im2hands.keypoints.placing.motion import FramesSums
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.placing.sums import Sums

PALM_M = 0.088
FRAMES = 3


def as_photo(hands: list[HandDetection], camera: Camera = CAMERA, palm_m: float = PALM_M) -> TwoHands:
    return place_hands(hands, camera, palm_m)


def as_clip(hands: list[HandDetection], camera: Camera = CAMERA, palm_m: float = PALM_M) -> TwoHands:
    return place_clip([hands] * FRAMES, [camera] * FRAMES, list(np.arange(FRAMES) / 30), palm_m)[1]


ROADS = pytest.mark.parametrize("place", [as_photo, as_clip])
Place = Callable[..., TwoHands]


def two_hands() -> dict[str, np.ndarray]:
    """True keypoints of a left and a right hand beside each other, metres."""
    left, right = random_hands([3, 4]).keypoints()
    return {
        "left": (left - left.mean(axis=0) + (0.12, 0.0, 0.5)) * (-1, 1, 1),
        "right": right - right.mean(axis=0) + (0.12, 0.0, 0.5),
    }


def detections(truth: dict[str, np.ndarray]) -> list[HandDetection]:
    """Both hands as exact networks tell of them; what was read in the picture is worse."""
    rng = np.random.default_rng(5)
    made = [told(truth["left"], "left", truth["right"]), told(truth["right"], "right", truth["left"])]
    return [
        replace(one, pixels=one.pixels + rng.normal(0, 2, (21, 2)), shape=one.shape + rng.normal(0, 0.05, (21, 3)))
        for one in made
    ]


def lifted(detection: HandDetection, **values: object) -> HandDetection:
    assert detection.lifted is not None
    return replace(detection, lifted=replace(detection.lifted, **values))


def longer(hands: TwoHands, truth: dict[str, np.ndarray]) -> np.ndarray:
    """By which factors the bones of both hands are longer than the true ones."""
    parents = list(KEYPOINT_PARENTS[1:])
    made = []
    for hand in hands.present():
        points = np.stack([hand.positions, truth[hand.side]])
        lengths = np.linalg.norm(points[:, 1:] - points[:, parents], axis=-1)
        made.append(lengths[0] / lengths[1])
    return np.array(made)


def misses(hands: TwoHands, truth: dict[str, np.ndarray]) -> np.ndarray:
    """Mean distances of both hands' keypoints from the true ones, wrists aligned, metres."""
    return np.array(
        [
            np.linalg.norm(
                hand.positions - hand.positions[0] - (truth[hand.side] - truth[hand.side][0]), axis=1
            ).mean()
            for hand in hands.present()
        ]
    )  # fmt: skip


@ROADS
@pytest.mark.parametrize("spread", [1e3, 1e200, np.inf])
def test_hands_of_which_all_places_are_hidden_keep_their_shape(place: Place, spread: float) -> None:
    truth = two_hands()
    hidden = [lifted(one, pixel_spread=np.full(21, spread)) for one in detections(truth)]
    hands = place(hidden)
    assert len(hands.present()) == 2
    assert misses(hands, truth).max() < 0.02
    assert all(hand.positions[:, 2].min() > 0.05 for hand in hands.present())


def test_points_on_the_skin_that_are_hidden_or_contradict_the_keypoints_change_nothing() -> None:
    truth = two_hands()
    seen = detections(truth)
    plain = as_photo(seen)
    rng = np.random.default_rng(2)
    for pixels, visible in ((rng.uniform(0, 900, (128, 2)), 1.0), (np.full((128, 2), np.nan), 0.0)):
        skin = SkinLandmarks(pixels, np.full(128, 0.1), np.full(128, visible))
        hands = as_photo([replace(one, skin=skin) for one in seen])
        for side in SIDES:
            one, other = plain.get(side), hands.get(side)
            assert one is not None and other is not None
            assert one.positions.tobytes() == other.positions.tobytes()


def test_a_mask_of_another_place_does_not_pull_the_hand_away() -> None:
    detection, hands = read_hand()
    palm_px = PALM_M * CAMERA.fx / hands.translation[0, 2]
    plain = as_photo([detection]).right
    for way in ((0.5, 0.0), (0.0, -0.8), (2.0, 1.0)):
        mask = shown_mask(hands, shift=(way[0] * palm_px, way[1] * palm_px))
        moved = as_photo([replace(detection, mask=mask)]).right
        assert plain is not None and moved is not None
        shift = CAMERA.project(moved.positions) - CAMERA.project(plain.positions)
        assert np.linalg.norm(shift, axis=1).max() < 0.15 * palm_px
        assert 0.8 < moved.thickness / plain.thickness < 1.25


@ROADS
def test_a_hand_cut_by_the_frame_is_whole(place: Place) -> None:
    truth = two_hands()
    seen = detections(truth)
    middle = float(np.median(CAMERA.project(truth["right"])[:, 0]))
    narrow = replace(CAMERA, width=round(middle))
    assert 5 < (CAMERA.project(truth["right"])[:, 0] > narrow.width).sum() < 16
    hands = place(seen, narrow)
    assert misses(hands, truth).max() < 0.01 and np.abs(np.log(longer(hands, truth))).max() < 0.15
    # Without the lifting network what lies outside is less sure.
    read = place([replace(one, lifted=None) for one in seen], narrow).right
    whole = place([replace(one, lifted=None) for one in seen]).right
    assert read is not None and whole is not None
    outside = read.pixels[:, 0] > narrow.width - 0.5
    assert read.confidence[outside].mean() < 0.8 * whole.confidence[outside].mean()
    np.testing.assert_array_equal(read.confidence[~outside], whole.confidence[~outside])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_focal_length_does_not_change_the_shape_of_a_take(factor: float) -> None:
    truth = two_hands()
    wrong = replace(CAMERA, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
    hands = as_clip(detections(truth), wrong)
    assert np.abs(np.log(longer(hands, truth))).max() < 0.3
    for hand in hands.present():
        assert 0.6 * factor < hand.positions[:, 2].mean() / truth[hand.side][:, 2].mean() < 1.6 * factor
        assert 0.85 <= hand.thickness <= 1.2


@ROADS
def test_the_same_hand_as_left_and_right_one_lies_once_in_front_of_the_other(place: Place) -> None:
    truth = two_hands()["right"]
    right = told(truth, "right")
    hands = place([right, replace(right, side="left")])
    assert len(hands.present()) == 2
    for hand in hands.present():
        assert hand.positions[:, 2].min() > 0.05
        assert 0.6 < np.median(longer(TwoHands(**{hand.side: hand}), {hand.side: truth})) < 1.6
        assert np.linalg.norm(CAMERA.project(hand.positions).mean(axis=0) - CAMERA.project(truth).mean(axis=0)) < 60


def test_a_childs_hands_are_small_in_a_take() -> None:
    truth = {side: 0.6 * points for side, points in two_hands().items()}
    hands = as_clip(detections(truth), palm_m=0.6 * PALM_M)
    assert misses(hands, truth).max() < 0.006
    assert np.abs(np.log(longer(hands, truth))).max() < 0.15
    for hand in hands.present():
        assert hand.positions[0, 2] == pytest.approx(truth[hand.side][0, 2], rel=0.1)


@ROADS
@pytest.mark.parametrize(
    "broken",
    [
        {"shape": np.full((21, 3), np.nan)},
        {"pixels": np.where(np.arange(42).reshape(21, 2) == 9, np.nan, 300.0)},
        {"spread": np.full(21, np.inf)},
        {"shape": np.zeros((21, 3)), "depth": np.nan},
    ],
    ids=["shape", "one pixel", "spread", "no extent"],
)
def test_where_the_lifting_network_tells_no_numbers_what_was_read_counts(place: Place, broken: dict) -> None:
    truth = two_hands()
    left, right = detections(truth)
    hands, read = place([left, lifted(right, **broken)]), place([left, replace(right, lifted=None)])
    assert hands.right is not None and read.right is not None
    np.testing.assert_array_equal(hands.right.positions, read.right.positions)
    assert misses(hands, truth).max() < 0.02


@ROADS
def test_confidences_that_are_no_numbers_leave_the_places_ones(place: Place) -> None:
    truth = two_hands()
    for source in ("mediapipe", "network"):
        vague = [replace(one, confidence=np.full(21, np.nan), source=source) for one in detections(truth)]
        hands = place(vague)
        for hand in hands.present():
            assert np.isfinite(hand.pixels).all() and (hand.confidence >= 0).all() and (hand.confidence <= 1).all()
        assert len(hands.present()) == 2 and misses(hands, truth).max() < 0.03


@ROADS
@pytest.mark.parametrize("failures", [2, 10**6])
def test_equations_without_a_solution_are_damped_and_else_doubtful(
    place: Place, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where rounding leaves a matrix that is not definite."""
    seen = [seen_hand("left", (420, 480), 120), seen_hand("right", (860, 480), 120)]
    sure = place(seen)
    left = [failures]

    def failing(kind: type[Sums] | type[FramesSums]) -> None:
        steps = kind.steps

        def tried(self: Sums, damping: np.ndarray) -> np.ndarray:
            left[0] -= 1
            if left[0] >= 0:
                raise np.linalg.LinAlgError
            return steps(self, damping)  # type: ignore[arg-type]

        monkeypatch.setattr(kind, "steps", tried)

    failing(Sums)
    failing(FramesSums)
    for one, other in zip(sure.present(), place(seen).present(), strict=True):
        assert np.isfinite(other.positions).all()
        if failures == 2:
            assert np.linalg.norm(other.positions - one.positions, axis=1).max() < 0.005
        else:
            np.testing.assert_allclose(other.confidence, 0.5 * one.confidence)
