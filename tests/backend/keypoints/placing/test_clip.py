"""Clips: one shape for the take, motion without needless acceleration, gaps, cuts, and takes of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from chain_hands import random_hands

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS, SIDES, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing import clip, observation
from im2hands.keypoints.placing.chain import Hands
from im2hands.keypoints.placing.clip import place_clip
from im2hands.keypoints.placing.kinematics import ANGLES, PARAMETERS, POSE
from im2hands.keypoints.placing.motion import FramesSums, turn_between
from im2hands.keypoints.placing.solve import place_hands
from im2hands.keypoints.placing.sums import Sums
from im2hands.lab.bench.motion_figures import error, jitter

CAMERA = Camera.from_fov(55, 1280, 960)
RATE = 30.0


def moving(frames: int, side: Side, seed: int = 3, speed: float = 1.0) -> np.ndarray:
    """A hand (F, 21, 3) that swings, turns and bends slowly, metres."""
    start = random_hands([seed])
    made = []
    for time in np.arange(frames) / RATE * speed:
        step = np.zeros((1, PARAMETERS))
        step[0, :3] = 0.3 * np.sin(2.0 * time), 0.2 * np.sin(1.5 * time), 0.0
        step[0, 6:POSE] = 0.15 * np.sin(3.0 * time + np.arange(ANGLES))
        points = start.moved(step).keypoints()[0] + (0.02 * np.sin(2 * time), 0.01 * np.cos(3 * time), 0.0)
        made.append(points - (0.2, 0.0, 0.0) if side == "right" else points * (-1, 1, 1) + (0.2, 0.0, 0.0))
    return np.array(made)


def detected(truth: np.ndarray, side: Side, seed: int = 0, noise: float = 4.0) -> list[HandDetection]:
    """Detections of the hands (F, 21, 3) with noise of each frame in pixels and in space."""
    rng = np.random.default_rng(seed)
    return [
        HandDetection(
            side, CAMERA.project(points) + rng.normal(0, noise, (21, 2)),
            points + rng.normal(0, noise / 1000, (21, 3)), np.full(21, 0.9), 0.9, "test",
        ) for points in truth
    ]  # fmt: skip


def placed(frames: Sequence[Sequence[HandDetection]], times: np.ndarray | None = None) -> list[TwoHands]:
    stamps = np.arange(len(frames)) / RATE if times is None else times
    return place_clip(frames, [CAMERA] * len(frames), list(stamps))


def positions(hands: Sequence[TwoHands], side: Side) -> np.ndarray:
    """(F, 21, 3) keypoints; NaN where the hand is missing."""
    return np.array([np.full((21, 3), np.nan) if (one := two.get(side)) is None else one.positions for two in hands])


def lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[..., 1:, :] - points[..., list(KEYPOINT_PARENTS[1:]), :], axis=-1)


def test_hands_move_smoothly_without_lag_and_keep_one_shape() -> None:
    truth = {side: moving(16, side) for side in SIDES}
    frames = list(zip(*(detected(truth[side], side, k, 1.0) for k, side in enumerate(SIDES)), strict=True))
    found, alone = placed(frames), [place_hands(hands, CAMERA) for hands in frames]
    for side in SIDES:
        clean, raw = positions(found, side), positions(alone, side)
        assert jitter(clean) < 0.2 * jitter(raw)
        rooted = [error(points - points[:, :1], truth[side] - truth[side][:, :1]) for points in (clean, raw)]
        assert rooted[0] < rooted[1] + 5.0
        assert np.ptp(lengths(clean), axis=0).max() < 1e-6
    left, right = (lengths(positions(found, side))[0] for side in SIDES)
    np.testing.assert_allclose(left / left[8], right / right[8], rtol=0.1)


def test_a_quick_gesture_keeps_its_peak() -> None:
    start = random_hands([3])
    bent = np.sin(np.clip((np.arange(40) / RATE - 0.5) / 0.3, 0, 1) * np.pi)  # within 0.3 s
    step = np.zeros((40, PARAMETERS))
    step[:, 6:POSE] = 0.9 * bent[:, None] * np.tile((1.0, 1.0, 0.7, 0.0), 5)
    truth = np.array([start.moved(row[None]).keypoints()[0] for row in step])
    tips = positions(placed([[hand] for hand in detected(truth, "right", noise=1.5)]), "right")[:, [8, 12, 16, 20]]
    moved = np.linalg.norm(tips[19] - tips[:12].mean(axis=0), axis=-1).mean()
    wanted = np.linalg.norm(truth[19, [8, 12, 16, 20]] - truth[5, [8, 12, 16, 20]], axis=-1).mean()
    assert moved > 0.85 * wanted


def test_places_that_are_all_off_alike_do_not_shake_the_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.repeat(moving(1, "right"), 24, axis=0)
    truth[:, :, 0] += 0.03 * np.sin(np.clip((np.arange(24) / RATE - 0.25) / 0.3, 0, 1) * np.pi)[:, None]  # within 0.3 s
    rng = np.random.default_rng(4)
    frames = [
        [replace(one, pixels=one.pixels + rng.normal(0, 2.0, 2))] for one in detected(truth, "right", noise=0.5)
    ]  # palm: 190 px
    found = positions(placed(frames), "right")
    monkeypatch.setattr(observation, "_COMMON", 0.0)
    shaken = positions(placed(frames), "right")
    still = np.r_[0:6, 18:24]  # the hand rests
    assert jitter(found[still[:6]]) + jitter(found[still[6:]]) < 0.6 * (
        jitter(shaken[still[:6]]) + jitter(shaken[still[6:]])
    )
    moved, wanted = (points[11:14, :, 0].mean() - points[:6, :, 0].mean() for points in (found, truth))
    assert moved > 0.9 * wanted


def test_motion_goes_over_short_gaps_but_not_over_cuts() -> None:
    truth = moving(36, "right")
    other = moving(36, "right", seed=4)
    truth[18:] = np.array([0.15, 0.05, 0.1]) + other[18:]  # another shot
    frames = [[hand] for hand in detected(truth, "right", noise=1.0)]
    frames[8], frames[9] = [], []
    found = positions(placed(frames), "right")
    assert np.isnan(found[[8, 9]]).all() and np.isfinite(np.delete(found, [8, 9], axis=0)).all()
    rooted = np.linalg.norm((found - found[:, :1]) - (truth - truth[:, :1]), axis=-1).mean(axis=1)
    assert np.nanmax(rooted) < 0.012
    assert np.nanmax(rooted[[17, 18]]) < 2 * np.nanmedian(rooted) + 0.002


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_takes(frames: int) -> None:
    truth = moving(frames, "right")
    found = placed([[hand] for hand in detected(truth, "right", noise=0.5)])
    assert len(found) == frames
    assert np.linalg.norm(positions(found, "right") - truth, axis=-1).mean() < 0.03
    assert placed([[] for _ in range(frames)]) == [TwoHands()] * frames
    assert placed([]) == []


def test_a_take_of_two_thousand_frames_is_placed_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = moving(40, "right")
    some = detected(truth, "right", noise=1.0)
    order = np.abs((np.arange(2000) + 39) % 78 - 39)  # there and back
    sizes: list[int] = []
    place = clip._place_window

    def watched(track: clip._Track, first: int, last: int, times: np.ndarray) -> tuple[Hands, bool]:
        sizes.append(last - first)
        return place(track, first, last, times)

    monkeypatch.setattr(clip, "_place_window", watched)
    away = (np.arange(2000) >= 200) & (np.arange(2000) < 1800)
    found = positions(placed([[] if gone else [some[k]] for k, gone in zip(order, away, strict=True)]), "right")
    assert len(found) == 2000 and np.isfinite(found[~away]).all() and np.isnan(found[away]).all()
    assert max(sizes) <= clip._WINDOW + 2 * clip._OVERLAP and sum(sizes) < 2600
    steps = np.linalg.norm(np.diff(found, axis=0), axis=-1).mean(axis=1)
    seams = np.arange(clip._WINDOW, 200, clip._WINDOW) - 1
    assert steps[seams].max() < 1.5 * np.nanmax(steps[:60])


def test_the_same_clip_gives_the_same_bytes() -> None:
    truth = moving(clip._WINDOW + 5, "left")
    frames = [[hand] for hand in detected(truth, "left")]
    one, other = (positions(placed(frames), "left") for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_odd_times_and_numbers_that_are_none_do_no_harm() -> None:
    truth = moving(12, "right")
    frames = [[hand] for hand in detected(truth, "right", noise=1.0)]
    for times in (np.zeros(12), np.arange(12.0)[::-1], np.arange(12) * 100.0, np.cumsum(np.tile([1e-6, 0.1], 6))):
        assert np.isfinite(positions(placed(frames, times), "right")).all()
    frames[5] = [replace(frames[5][0], pixels=np.full((21, 2), np.nan))]
    found = positions(placed(frames), "right")
    assert np.isnan(found[5]).all() and np.isfinite(np.delete(found, 5, axis=0)).all()


def test_what_does_not_converge_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = moving(6, "right")
    frames = [[hand] for hand in detected(truth, "right")]
    sure = placed(frames)
    monkeypatch.setattr(clip, "_STEPS", 0)
    for one, other in zip(sure, placed(frames), strict=True):
        assert one.right is not None and other.right is not None
        np.testing.assert_allclose(other.right.confidence, 0.5 * one.right.confidence)
        assert np.isfinite(other.right.positions).all()


def test_the_gradient_of_motion_is_that_of_the_cost() -> None:
    rng = np.random.default_rng(2)
    hands = random_hands([1, 2] * 4)
    hands = hands.moved(rng.normal(0, 0.05, (8, PARAMETERS)))
    times = np.array([0.0, 0.03, 0.08, 0.1])
    tied = np.array([(True, True), (False, True)])

    def equations(step: np.ndarray) -> FramesSums:
        made = FramesSums.of_frames(Sums.empty(4, 2 * PARAMETERS))
        made.add_motion(hands.moved(step), times, tied, 2.0)
        return made

    gradient = equations(np.zeros((8, PARAMETERS))).gradient
    for hand in range(8):
        for column in range(POSE):
            step = np.zeros((8, PARAMETERS))
            step[hand, column] = 1e-6
            slope = (equations(step).cost[0] - equations(-step).cost[0]) / 2e-6
            assert gradient[hand // 2, hand % 2 * POSE + column] == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_the_banded_equations_are_solved_like_dense_ones() -> None:
    rng = np.random.default_rng(0)
    made = FramesSums.of_frames(Sums.empty(4, 2 * PARAMETERS))
    made.gradient += rng.normal(size=made.gradient.shape)
    made.add_motion(
        random_hands([1, 2] * 4).moved(rng.normal(0, 0.05, (8, PARAMETERS))),
        np.arange(4) / RATE,
        np.ones((2, 2), bool),
        2.0,
    )
    dense = np.zeros((4, 52, 4, 52))
    for k, blocks in enumerate(made.blocks):
        for frame, block in enumerate(blocks):
            block += (k == 0) * 50 * np.eye(52)
            dense[frame, :, frame + k] = block
            dense[frame + k, :, frame] = block.T
    matrix = dense.reshape(208, 208)
    step = made.steps(np.array([0.1])).reshape(4, 2, PARAMETERS)[:, :, :POSE].ravel()
    wanted = np.linalg.solve(matrix + 0.1 * np.diag(np.diag(matrix)), -made.gradient.ravel())
    np.testing.assert_allclose(step, wanted, rtol=1e-5, atol=1e-9)


def test_turns_between_rotations() -> None:
    hands = random_hands([1, 2, 3])
    turns = np.array([(0.1, -0.2, 0.3), (0.0, 0.0, 0.0), (1e-7, 0.0, 0.0)])
    step = np.zeros((3, PARAMETERS))
    step[:, :3] = turns
    np.testing.assert_allclose(turn_between(hands.rotation, hands.moved(step).rotation), turns, atol=1e-12)
