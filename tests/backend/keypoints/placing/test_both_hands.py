"""One optimisation for both hands: known poses, depth, contact, one person's shape, and evidence that is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from chain_hands import bent_hand, random_hands, random_turn
from hand_pictures import seen_hand

from im2hands.core.camera import Camera
from im2hands.core.hands import KEYPOINT_PARENTS, SIDES, HandKeypoints, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection, LiftedHand
from im2hands.keypoints.placing import solve
from im2hands.keypoints.placing.kinematics import ANGLE_LIMITS
from im2hands.keypoints.placing.lifting_features import turn_to_ray
from im2hands.keypoints.placing.solve import place_hands
from im2hands.lab.datasets.part_occupancy import posed_hands

CAMERA = Camera.from_fov(55, 1280, 960)


def told(truth: np.ndarray, side: Side, other: np.ndarray | None = None, spread: float = 0.05) -> HandDetection:
    """A detection of a hand (21, 3) whose lifted shape is exact."""
    pixels = CAMERA.project(truth)
    palm = float(np.linalg.norm(truth[9] - truth[0]))
    shape = (truth - truth[0]) @ turn_to_ray(CAMERA.unproject(pixels, 1.0).mean(axis=0)) / palm
    depth = None if other is None else float((other[0, 2] - truth[0, 2]) / palm)
    palm_px = palm * CAMERA.fx / truth[:, 2].mean()
    lifted = LiftedHand(
        shape, np.full(21, spread), pixels, np.full(21, spread * palm_px), depth, None if other is None else spread
    )
    return HandDetection(side, pixels, shape, np.ones(21), 0.9, "network", lifted=lifted)


def right_hand(seed: int, at: tuple[float, float, float] = (0.0, 0.0, 0.5)) -> np.ndarray:
    """A random possible right hand, metres."""
    points = random_hands([seed]).keypoints()[0]
    return points - points.mean(axis=0) + at


def spheres_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spheres about the joints of a found hand: centres between the joints, radii of half a finger."""
    parents = np.array(KEYPOINT_PARENTS[1:])
    shares = np.array([0.25, 0.5, 0.75])[:, None, None]
    centres = shares * points[parents] + (1 - shares) * points[1:]
    return centres.reshape(-1, 3), np.full(60, 0.006)


def deepest(hands: TwoHands) -> float:
    """How deep the bones of one hand lie in the flesh of the other, metres; negative for a gap."""
    assert hands.left is not None and hands.right is not None
    (a, ra), (b, rb) = spheres_of(hands.left.positions), spheres_of(hands.right.positions)
    return float((ra[:, None] + rb - np.linalg.norm(a[:, None] - b, axis=-1)).max())


@pytest.mark.parametrize("seed", range(6))
def test_a_possible_hand_is_found_again(seed: int) -> None:
    truth = right_hand(seed)
    hand = place_hands([told(truth, "right")], CAMERA, 0.088).right
    assert hand is not None
    assert np.linalg.norm(CAMERA.project(hand.positions) - CAMERA.project(truth), axis=1).max() < 6.0  # palm: 190 px
    relative = (hand.positions - hand.positions[0]) - (truth - truth[0])
    assert np.linalg.norm(relative, axis=1).mean() < 0.006


def test_wrong_depth_is_repaired() -> None:
    """Depth noise bends fingers backwards; pixels and joint limits correct it."""
    rng = np.random.default_rng(0)
    before, after = [], []
    for number, hand in enumerate(posed_hands(8, 4).keypoints.numpy()):
        truth = hand * 0.088 / np.linalg.norm(hand[9]) @ random_turn(number).T + (0.0, 0.0, 0.5)
        shape = truth + rng.normal(size=(21, 3)) * (0.002, 0.002, 0.014)
        pixels = CAMERA.project(truth) + rng.normal(size=(21, 2)) * 1.5
        found = place_hands([HandDetection("right", pixels, shape, np.ones(21), 0.9, "test")], CAMERA).right
        assert found is not None
        for points, errors in ((shape, before), (found.positions, after)):
            errors.append(np.linalg.norm((points - points.mean(0)) - (truth - truth.mean(0)), axis=1).mean())
    assert np.mean(after) < 0.75 * np.mean(before)


def test_joints_stay_within_their_limits() -> None:
    wild = right_hand(2) + np.random.default_rng(1).normal(size=(21, 3)) * 0.02
    hand = place_hands([replace(told(wild, "right"), lifted=None, shape=wild)], CAMERA).right
    assert hand is not None
    # Bones rotate about the flexion axes from rest.
    for finger in range(1, 5):
        bones = np.diff(hand.positions[1 + 4 * finger : 5 + 4 * finger], axis=0)
        bones = bones / np.linalg.norm(bones, axis=1, keepdims=True)
        bend = np.degrees(np.arccos((bones[:-1] * bones[1:]).sum(axis=1)))
        assert (bend <= np.degrees(ANGLE_LIMITS[finger, 1:3, 1]) + 20).all()


def test_what_is_surely_seen_counts_more() -> None:
    truth = right_hand(2)
    seen = told(truth, "right")
    assert seen.lifted is not None
    pixels = seen.lifted.pixels.copy()
    pixels[8] += (0.0, 60.0)  # one fingertip is wrong

    def miss(factor: float) -> float:
        spread = seen.lifted.pixel_spread * np.where(np.arange(21) == 8, factor, 1.0)
        wrong = replace(seen, lifted=replace(seen.lifted, pixels=pixels, pixel_spread=spread))
        hand = place_hands([wrong], CAMERA).right
        assert hand is not None
        return float(np.linalg.norm(hand.positions[8] - truth[8]))

    assert miss(12.0) < 0.5 * miss(1.0)


def praying(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Left and right hand, flat, palm to palm across the line of sight, their middles ``gap`` metres apart."""
    open_hand = 0.088 * bent_hand(0.0)
    right = np.stack([-open_hand[:, 1], open_hand[:, 0], open_hand[:, 2]], axis=1)  # palm to -x, fingers up
    right = right - right.mean(axis=0) + (gap / 2, 0.0, 0.5)
    return right * (-1, 1, 1), right


def test_hands_that_were_seen_in_each_other_are_moved_apart() -> None:
    left, right = praying(0.01)
    hands = place_hands([told(left, "left", right), told(right, "right", left)], CAMERA)
    assert deepest(hands) < 0.004
    assert hands.left is not None and hands.right is not None
    for hand, truth in ((hands.left, left), (hands.right, right)):  # by little
        assert np.linalg.norm(hand.positions - truth, axis=1).mean() < 0.02
    apart = praying(0.12)
    free = place_hands([told(apart[0], "left", apart[1]), told(apart[1], "right", apart[0])], CAMERA)
    assert free.left is not None
    assert np.linalg.norm(free.left.positions - apart[0], axis=1).mean() < 0.01


def test_one_persons_hands_have_one_shape() -> None:
    left, right = right_hand(3) * (-1, 1, 1) + (-0.15, 0, 0), right_hand(4, (0.15, 0.0, 0.5))
    long = right.copy()
    for k in range(5, 9):  # the index finger of one hand is seen 12 % longer
        long[k] = right[5] + 1.12 * (right[k] - right[5])

    def index_finger(hand: HandKeypoints) -> float:
        palm = np.linalg.norm(hand.positions[9] - hand.positions[0])
        return float(np.linalg.norm(np.diff(hand.positions[5:9], axis=0), axis=1).sum() / palm)

    alone = place_hands([told(long, "right", spread=0.01)], CAMERA).right
    both = place_hands([told(left, "left", long, 0.01), told(long, "right", left, 0.01)], CAMERA)
    left_alone = place_hands([told(left, "left", spread=0.01)], CAMERA).left
    assert alone is not None and left_alone is not None and both.left is not None and both.right is not None
    assert index_finger(alone) > 1.03 * index_finger(left_alone)
    ratio = index_finger(both.right) / index_finger(both.left)
    assert 1.0 < ratio < 1.0 + 0.6 * (index_finger(alone) / index_finger(left_alone) - 1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_focal_length_does_not_change_the_shape(factor: float) -> None:
    left, right = right_hand(3) * (-1, 1, 1) + (-0.12, 0, 0), right_hand(4, (0.12, 0.0, 0.5))
    detections = [told(left, "left", right), told(right, "right", left)]
    wrong = replace(CAMERA, fx=CAMERA.fx * factor, fy=CAMERA.fy * factor)
    hands = place_hands(detections, wrong)
    parents = list(KEYPOINT_PARENTS[1:])
    for side, truth in (("left", left), ("right", right)):
        hand = hands.get(side)
        assert hand is not None
        lengths = [np.linalg.norm(points[1:] - points[parents], axis=1) for points in (hand.positions, truth)]
        assert (np.abs(np.log(lengths[0] / lengths[1])) < 0.3).all()
        assert 0.6 * factor < hand.positions[:, 2].mean() / truth[:, 2].mean() < 1.6 * factor
        assert np.linalg.norm(wrong.project(hand.positions) - hand.pixels, axis=1).mean() < 12  # palm: 190 px


def test_a_childs_hand_is_a_small_hand() -> None:
    truth = right_hand(3)
    small = truth.mean(axis=0) + 0.6 * (truth - truth.mean(axis=0))
    hand = place_hands([told(small, "right")], CAMERA, 0.6 * 0.088).right
    assert hand is not None
    assert np.linalg.norm((hand.positions - hand.positions[0]) - (small - small[0]), axis=1).mean() < 0.005
    assert hand.positions[0, 2] == pytest.approx(small[0, 2], rel=0.06)
    # With the palm of an adult it lies farther away, and covers the same pixels.
    far = place_hands([told(small, "right")], CAMERA, 0.088).right
    assert far is not None
    assert far.positions[:, 2].mean() == pytest.approx(hand.positions[:, 2].mean() / 0.6, rel=0.03)
    assert np.linalg.norm(CAMERA.project(far.positions) - far.pixels, axis=1).mean() < 6


def test_identical_hands_one_upon_the_other_stay_finite() -> None:
    right = right_hand(3)
    hands = place_hands(
        [replace(told(right, "right", right)), replace(told(right, "right", right), side="left")], CAMERA
    )
    for hand in hands.present():
        assert np.isfinite(hand.positions).all() and (hand.positions[:, 2] > 0.05).all()
        assert np.linalg.norm(CAMERA.project(hand.positions) - hand.pixels, axis=1).mean() < 80  # palm: 190 px
    assert len(hands.present()) == 2


def test_contradictory_keypoints_give_possible_hands() -> None:
    """The pixels are those of one hand, the shape in space is that of another, turned about."""
    truth, other = right_hand(3), right_hand(8) * (-1, -1, 1)
    seen = told(truth, "right")
    turned = told(other + np.array([0.0, 0.0, 1.0]), "right")
    assert seen.lifted is not None and turned.lifted is not None
    torn = replace(seen, lifted=replace(seen.lifted, shape=turned.lifted.shape))
    hand = place_hands([torn], CAMERA).right
    assert hand is not None and np.isfinite(hand.positions).all() and (hand.positions[:, 2] > 0.05).all()
    lengths = np.linalg.norm(hand.positions[1:] - hand.positions[list(KEYPOINT_PARENTS[1:])], axis=1)
    assert lengths.min() > 0.005 and lengths.max() < 0.15
    assert np.linalg.norm(CAMERA.project(hand.positions) - CAMERA.project(truth), axis=1).mean() < 80  # palm: 190 px


def test_numbers_that_are_none_leave_a_hand_out_and_nothing_else() -> None:
    left, right = right_hand(3) * (-1, 1, 1) + (-0.15, 0, 0), right_hand(4, (0.15, 0.0, 0.5))
    good, bad = told(left, "left", right), told(right, "right", left)
    assert bad.lifted is not None
    lost = replace(bad, pixels=np.full((21, 2), np.nan), lifted=replace(bad.lifted, shape=np.full((21, 3), np.nan)))
    hands = place_hands([good, lost], CAMERA)
    assert hands.right is None and hands.left is not None and np.isfinite(hands.left.positions).all()
    for depth, spread in ((np.nan, 0.1), (0.5, np.nan), (np.inf, 0.1), (0.5, np.inf)):
        vague = replace(bad, lifted=replace(bad.lifted, depth=depth, depth_spread=spread))
        hands = place_hands([good, vague], CAMERA)
        assert len(hands.present()) == 2
        assert all(np.isfinite(hand.positions).all() for hand in hands.present())


def test_hidden_keypoints_do_not_count() -> None:
    truth = right_hand(2)
    seen = told(truth, "right")
    assert seen.lifted is not None
    for spread in (1e3, 1e6):  # pixels; all keypoints of the fingers are hidden, then all
        hidden = np.where(np.isin(np.arange(21), (0, 5, 9, 13, 17)) & (spread < 1e5), seen.lifted.pixel_spread, spread)
        vague = replace(seen, lifted=replace(seen.lifted, pixel_spread=hidden))
        hand = place_hands([vague], CAMERA).right
        assert hand is not None and np.isfinite(hand.positions).all()
        assert np.linalg.norm(hand.positions - truth, axis=1).mean() < 0.05


def test_a_solve_that_does_not_converge_keeps_the_last_good_hands_and_is_doubtful(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detections = [seen_hand("left", (420, 480), 120), seen_hand("right", (860, 480), 120)]
    sure = place_hands(detections, CAMERA)
    monkeypatch.setattr(solve, "_STEPS_OF_BOTH", 0)
    cut = place_hands(detections, CAMERA)
    for side in SIDES:
        one, other = sure.get(side), cut.get(side)
        assert one is not None and other is not None
        np.testing.assert_allclose(other.confidence, 0.5 * one.confidence)
        assert np.linalg.norm(CAMERA.project(other.positions) - other.pixels, axis=1).mean() < 20
    for none in ([], [replace(detections[0], pixels=np.full((21, 2), np.nan))]):
        assert place_hands(none, CAMERA).present() == []
