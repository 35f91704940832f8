"""Motion: smoothing, outliers, gaps, sides, rotations and corrective shapes, on simulated clips with known truth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from im2hands.animation.motion.correctives import SAMPLES, correctives_from
from im2hands.animation.motion.quaternions import continuous, mirrored, slerp, to_matrices, to_quaternions
from im2hands.animation.motion.smoothing import filled, smooth
from im2hands.animation.motion.solve import Motion, smooth_keypoints, solve
from im2hands.animation.motion.take_correctives import TakeCorrectives
from im2hands.animation.motion.tracks import DOUBTFUL, FILLED, MISSING, OBSERVED, RawTake, judge
from im2hands.animation.template.files import handed, handed_axes
from im2hands.animation.template.rest import measure, rest_hand
from im2hands.animation.template.rig import Pose, about, forward
from im2hands.animation.template.topology import Topology, load_topology
from im2hands.core.hands import SIDES, Side
from im2hands.lab.bench.motion_figures import error, jitter, lag, peak_kept
from im2hands.lab.bench.one_euro import OneEuro
from im2hands.lab.bench.simulated_clips import Clip, Noise, simulate

FRAMES = 100


@pytest.fixture(scope="module")
def topology() -> Topology:
    return load_topology(0)


@pytest.fixture(scope="module")
def wandering() -> Clip:
    return simulate(FRAMES, seed=3)


@pytest.fixture(scope="module")
def gesture() -> Clip:
    return simulate(FRAMES, seed=3, gesture=True)


def raw_take(seen: dict[Side, np.ndarray]) -> RawTake:
    count = len(seen["left"])
    return RawTake(np.arange(1, count + 1), seen, {side: np.zeros(count) for side in SIDES})


def solved(seen: dict[Side, np.ndarray], topology: Topology, side: Side = "right", **options: float) -> Motion:
    track = judge(raw_take(seen), over_time=True)[side]
    track.keypoints = handed(track.keypoints, side)
    rest = rest_hand(topology, measure(track.keypoints[track.status == OBSERVED], topology))
    return solve(track, rest, **options)  # type: ignore[arg-type]


def test_clean_motion_is_quiet_and_no_worse(wandering: Clip, topology: Topology) -> None:
    for side in SIDES:
        truth, seen = handed(wandering.truth[side], side), handed(wandering.seen[side], side)
        clean = solved(wandering.seen, topology, side).keypoints
        assert jitter(clean) < 0.2 * jitter(seen)
        assert error(clean, truth) < error(seen, truth)
        assert abs(lag(clean, truth)) <= 1


def test_fast_gesture_keeps_its_peak(gesture: Clip, topology: Topology) -> None:
    truth, seen = gesture.truth["right"], gesture.seen["right"]
    clean = solved(gesture.seen, topology).keypoints
    for first, last in ((20, 46), (54, 80)):
        assert peak_kept(clean, truth, first, last) == pytest.approx(1, abs=0.05)
    assert jitter(clean) < 0.2 * jitter(seen)
    assert error(clean, truth) < error(seen, truth)
    assert abs(lag(clean, truth)) <= 1


def test_smoothing_can_be_turned_off_and_up(wandering: Clip, topology: Topology) -> None:
    seen = wandering.seen["right"]
    results = [jitter(solved(wandering.seen, topology, strength=strength).keypoints) for strength in (0.0, 0.25, 1.0)]
    assert results[0] > 0.5 * jitter(seen)
    assert results[0] > results[1] > results[2]


def test_live_filter(wandering: Clip, gesture: Clip) -> None:
    for clip in (wandering, gesture):
        euro = OneEuro(clip.fps)
        live = np.array([euro(points) for points in clip.seen["right"]])
        truth, seen = clip.truth["right"], clip.seen["right"]
        assert jitter(live) < 0.6 * jitter(seen)
        assert error(live, truth) < error(seen, truth)
        assert abs(lag(live, truth)) <= 1
    euro = OneEuro(25.0)
    assert np.isfinite([euro(points) for points in (np.ones((1, 3)), np.full((1, 3), np.nan))]).all()


def test_smooth_leaves_smooth_curves_alone() -> None:
    time = np.arange(60.0)[:, None]
    parabola = 0.001 * time**2 + 0.2 * time
    assert np.allclose(smooth(parabola, np.ones(60)), parabola, atol=1e-4)
    holes = np.ones(60)
    holes[20:26] = 0
    punched = parabola.copy()
    punched[20:26] = np.nan
    assert np.allclose(smooth(punched, holes), parabola, atol=1e-2)
    assert np.allclose(smooth(parabola[:3], np.ones(3)), parabola[:3])
    assert filled(np.full((4, 1), np.nan), np.zeros(4)).shape == (4, 1)


def test_depth_that_jumps_by_itself_is_held_and_a_push_is_kept(gesture: Clip) -> None:
    # A still hand whose size is measured wrongly for a while, so that its distance is wrong by 40 mm.
    still = np.repeat(gesture.truth["right"][:1], 90, axis=0)
    random = np.random.default_rng(4)
    seen = still + random.normal(0, 0.001, still.shape)
    away = np.zeros(90)
    away[40:52] = random.normal(0.04, 0.012, 12)
    seen *= (1 + away / still[0, 0, 2])[:, None, None]
    clean = smooth_keypoints(seen, np.ones(90), 0.5)
    assert jitter(clean) < 0.15 * jitter(seen)
    # A push towards the camera, 0.3 s long, which the picture shows only by the size of the hand.
    way = 0.08 * np.exp(-0.5 * ((np.arange(90) - 45) / 3) ** 2)
    truth = still - way[:, None, None] * np.array([0.0, 0.0, 1.0])
    clean = smooth_keypoints(truth + random.normal(0, 0.0015, still.shape), np.ones(90), 0.5)
    assert peak_kept(clean, truth, 32, 58) > 0.95


def test_a_finger_that_is_lost_and_found_again_does_not_leap(gesture: Clip) -> None:
    still = np.repeat(gesture.truth["right"][:1], 60, axis=0)
    seen = still + np.random.default_rng(5).normal(0, 0.001, still.shape)
    seen[20:30, 4] += (0.05, 0.05, 0.0)  # the thumb's tip
    clean = smooth_keypoints(seen, np.ones(60), 0.5)
    assert np.linalg.norm(np.diff(seen[:, 4], axis=0), axis=1).max() > 0.06
    assert np.linalg.norm(np.diff(clean[:, 4], axis=0), axis=1).max() < 0.03
    others = np.delete(np.arange(21), 4)
    assert error(clean[:, others], still[:, others]) < 1


def test_gaps_up_to_the_limit_are_filled(topology: Topology) -> None:
    clip = simulate(FRAMES, seed=8, noise=Noise(white=0.0005, slow=0.0005, depth=0.001))
    seen = {side: points.copy() for side, points in clip.seen.items()}
    seen["right"][30:36] = np.nan  # 6 frames
    seen["right"][60:80] = np.nan  # 20 frames
    motion = solved(seen, topology, gap=10)
    assert (motion.status[30:36] == FILLED).all()
    assert (motion.status[60:80] == MISSING).all()
    assert np.isnan(motion.keypoints[60:80]).all()
    assert np.isnan(motion.raw.rotations[30:36]).all()  # raw data stay raw
    between = np.linalg.norm(motion.keypoints[30:36] - clip.truth["right"][30:36], axis=-1).mean()
    assert between < 0.012
    frozen = np.linalg.norm(clip.truth["right"][29] - clip.truth["right"][30:36], axis=-1).mean()
    assert between < 0.6 * frozen
    assert (solved(seen, topology, gap=25).status[60:80] == FILLED).all()
    assert (solved(seen, topology, gap=5).status[30:36] == MISSING).all()


def test_wild_observations_are_replaced(topology: Topology) -> None:
    clip = simulate(FRAMES, seed=9, noise=Noise(white=0.0005, slow=0.0005, depth=0.001))
    seen = {side: points.copy() for side, points in clip.seen.items()}
    seen["right"][40] += (0.15, 0.0, 0.05)  # leaps away
    seen["right"][70, 1:] = seen["right"][70, 0] + 1.9 * (seen["right"][70, 1:] - seen["right"][70, 0])  # too large
    motion = solved(seen, topology)
    assert np.flatnonzero(motion.status == DOUBTFUL).tolist() == [40, 70]
    away = np.linalg.norm(motion.keypoints[[40, 70]] - clip.truth["right"][[40, 70]], axis=-1).mean()
    assert away < 0.005
    assert np.allclose(motion.keypoints_raw[40], seen["right"][40])


def test_keypoints_that_are_not_where_they_were_seen(topology: Topology) -> None:
    clip = simulate(30, seed=9)
    raw = raw_take(clip.seen)
    raw.reprojection["left"][7] = 0.8
    status = judge(raw, over_time=True)["left"].status
    assert np.flatnonzero(status == DOUBTFUL).tolist() == [7]


def test_sides_that_changed_places(topology: Topology) -> None:
    clip = simulate(FRAMES, seed=10)
    seen = {side: points.copy() for side, points in clip.seen.items()}
    seen["left"][50:54], seen["right"][50:54] = clip.seen["right"][50:54], clip.seen["left"][50:54]
    tracks = judge(raw_take(seen), over_time=True)
    for side in SIDES:
        assert np.allclose(tracks[side].keypoints, clip.seen[side])
        assert np.flatnonzero(tracks[side].status == DOUBTFUL).tolist() == [50, 51, 52, 53]
        assert not tracks[side].own[50:54].any()
        assert tracks[side].own[:50].all()


def test_hands_that_pass_each_other_keep_their_sides() -> None:
    clip = simulate(40, seed=10, noise=Noise(0, 0, 0, 0))
    way = np.linspace(0, 1, 40)[:, None, None] * np.array([0.24, 0.0, 0.0])
    crossing = {"left": clip.truth["left"] + way, "right": clip.truth["right"] - way + np.array([0.0, 0.1, 0.0])}
    tracks = judge(raw_take(crossing), over_time=True)  # type: ignore[arg-type]
    assert all((tracks[side].status == OBSERVED).all() for side in SIDES)


def test_unrelated_pictures_are_left_alone(topology: Topology) -> None:
    clip = simulate(6, seed=11, key_seconds=0.04)
    seen = {side: points.copy() for side, points in clip.seen.items()}
    seen["right"][3] = np.nan
    track = judge(raw_take(seen), over_time=False)["right"]
    rest = rest_hand(topology, measure(track.keypoints[track.present], topology))
    motion = solve(track, rest)
    assert motion.status.tolist() == [1, 1, 1, 0, 1, 1]
    assert np.allclose(motion.clean.rotations[0], motion.raw.rotations[0])
    assert np.isnan(motion.keypoints[3]).all()


def test_cuts_are_not_smoothed_over(topology: Topology) -> None:
    first, second = (simulate(20, seed=seed, gesture=True, noise=Noise(0.0002, 0, 0, 0)) for seed in (1, 2))
    closed = first.truth["right"][round(20 / 3)]
    seen = {side: np.concatenate([first.seen[side], second.seen[side]]) for side in SIDES}
    seen["right"] = np.concatenate([first.seen["right"][:4], np.repeat(closed[None], 12, axis=0)])
    seen["left"] = np.full_like(seen["right"], np.nan)
    track = judge(raw_take(seen), over_time=True)["right"]
    assert track.segments == [(0, 4), (4, 16)]


def test_quaternions_are_continuous() -> None:
    turns = about(0, np.linspace(0, 4 * np.pi, 50))
    quaternions = continuous(to_quaternions(turns))
    assert (np.abs(np.diff(quaternions, axis=0)).max(axis=0) < 0.2).all()
    assert np.allclose(to_matrices(quaternions), turns)
    holes = to_quaternions(turns)
    holes[20:22] = np.nan
    assert (np.nansum(continuous(holes)[1:] * continuous(holes)[:-1], axis=1) >= 0).all()
    middle = slerp(quaternions[0], -quaternions[10], 0.5)
    assert np.allclose(to_matrices(middle), to_matrices(quaternions[5]), atol=1e-6)


def test_left_rotations_in_left_axes(wandering: Clip, topology: Topology) -> None:
    """Posing the left rig with the values of ``motion.npz`` gives the left keypoints, as Blender does it."""
    motion = solved(wandering.seen, topology, "left")
    seen = handed(wandering.seen["left"], "left")
    rest = rest_hand(topology, measure(seen, topology))
    heads, tails, axes = handed(rest.heads, "left"), handed(rest.tails, "left"), handed_axes(rest.axes, "left")
    rotations = to_matrices(mirrored(to_quaternions(motion.clean.rotations[10])))
    root_turn = to_matrices(mirrored(to_quaternions(motion.clean.root_rotation[10])))
    chain = np.empty((21, 3, 3))
    place = np.empty((21, 3))
    from im2hands.animation.template.topology import BONE_PARENTS

    for bone, parent in enumerate(BONE_PARENTS):
        turn, head, pivot = (root_turn, handed(motion.clean.root[10], "left"), np.zeros(3))
        if parent >= 0:
            turn, head, pivot = chain[parent], place[parent], heads[parent]
        place[bone] = head + turn @ (heads[bone] - pivot)
        chain[bone] = turn @ axes[bone] @ rotations[bone] @ axes[bone].T
    ends = place + np.einsum("bij,bj->bi", chain, tails - heads)
    assert np.allclose(ends[[4, 8, 12, 16, 20]], handed(motion.keypoints[10], "left")[[4, 8, 12, 16, 20]], atol=1e-6)


def test_bones_are_constant_and_match_rotations(wandering: Clip, topology: Topology) -> None:
    motion = solved(wandering.seen, topology)
    lengths = np.linalg.norm(np.diff(motion.keypoints[:, 5:9], axis=1), axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-9
    rest = rest_hand(topology, measure(wandering.seen["right"], topology))
    assert np.allclose(forward(motion.clean, rest).keypoints, motion.keypoints)


def test_correctives_hold_what_they_are_made_of() -> None:
    random = np.random.default_rng(0)
    shapes = random.normal(size=(3, 50, 3)) * 0.002
    offsets = 0.001 + np.einsum("sk,ktc->stc", random.normal(size=(30, 3)), shapes)
    found = correctives_from(offsets)
    assert len(found.basis) == 3
    for offset in offsets[:5]:
        assert np.allclose(found.offset(found.weights(offset)), offset, atol=1e-6)
    assert len(correctives_from(offsets, 2).basis) == 2
    alone = correctives_from(offsets[:1])
    assert alone.basis.shape == (0, 50, 3)
    assert np.allclose(alone.offset(alone.weights(offsets[0])), offsets[0])
    same = correctives_from(np.repeat(offsets[:1], 4, axis=0))
    assert np.allclose(same.offset(same.weights(offsets[0])), offsets[0])


def test_long_tracks(topology: Topology) -> None:
    """2 000 frames are judged and solved at once; corrective shapes come from a limited number of frames."""
    short = simulate(101, seed=13)
    loop = np.concatenate([np.arange(100), np.arange(100, 0, -1)])
    seen = {side: np.tile(short.seen[side][loop], (10, 1, 1)) for side in SIDES}
    motion = solved(seen, topology)
    assert len(motion.keypoints) == 2000
    assert (motion.status == OBSERVED).mean() > 0.98
    assert np.isfinite(motion.clean.rotations).all()

    class Counting:
        """Stand-in templates with offsets of ten vertices."""

        rests: ClassVar[dict[str, Any]] = {"right": SimpleNamespace(vertices=np.zeros((10, 3)))}

        def __init__(self) -> None:
            self.asked: list[int] = []

        def offset(self, index: int, side: Side, pose: Pose) -> np.ndarray:
            self.asked.append(index)
            return np.full((10, 3), 1e-4) * (index % 7)

    def weighed(count: int) -> tuple[TakeCorrectives, Counting]:
        templates = Counting()
        rows = {row: row + 1 for row in range(count)}
        found = TakeCorrectives(templates, "right", motion, rows, lambda work: work())  # type: ignore[arg-type]
        assert len(templates.asked) <= SAMPLES
        for row in range(count):
            found.weigh(row)
        assert len(templates.asked) == len(set(templates.asked)), "no template is unskinned twice"
        return found, templates

    correctives, templates = weighed(2000)
    assert sorted(templates.asked) == list(range(1, 2001))
    assert correctives.truncation_mm["mean"] < 1e-3
    assert correctives.result(0.5).weights.shape == (2000, 1)
