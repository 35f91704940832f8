"""Takes two placed hands out of each other: their places in the picture and their shapes stay, the rest gives way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST, HandKeypoints, TwoHands
from im2hands.keypoints.hypothesis import HandDetection

from .chain import KEYPOINTS, Chain, Hands
from .kinematics import PARAMETERS
from .levenberg import minimise
from .observation import Observation
from .rigid import MINIMUM_DEPTH_M
from .solve import place_each
from .sums import Sums
from .terms import ENDS, add_anatomy, add_overlaps, overlaps

# Standard deviations, metres, of the keypoints of a hand from where they are: across the ray from the camera to the
# hand, along it against each other, and all together along it. First a possible hand is fitted to the given one; then
# both hands move, most easily away from each other along their rays. An overlap gives way last.
_FIT = (0.002, 0.002, 0.002)
_KEPT = (0.003, 0.004, 0.015)
_OVERLAP_M = 0.0005
_PLACES, _TOWARD = 0.03, 0.12  # as of an observation (palm lengths; unit directions), for the pose to start from
_LEAST_PALM_M = 1e-3
_STEPS = 60


def taken_apart(hands: TwoHands, camera: Camera) -> TwoHands:
    """Take two hands that lie in each other apart.

    They move along the rays from the camera, and bend where that is less. Only the movement of the possible hands that
    fit the given ones is applied.

    Parameters
    ----------
    hands : TwoHands
        The hands, camera frame, metres.
    camera : Camera
        Camera of the picture.

    Returns
    -------
    TwoHands
        The hands; the given ones if there are not two, if they do not lie in each other, or if nothing better is found.
    """
    present = hands.present()
    if len(present) < len(SIDES):
        return hands
    mirror = np.stack([np.array([-1.0 if hand.side == "left" else 1.0, 1.0, 1.0]) for hand in present])
    given = np.stack([hand.positions for hand in present]) * mirror[:, None]
    rays = given.mean(axis=1) / np.linalg.norm(given.mean(axis=1), axis=1, keepdims=True)
    start, _ = place_each([_observed(hand, camera) for hand in present])
    thickness = np.log([hand.thickness for hand in present])
    fitted, _, _ = minimise(
        start, 2, lambda some, rows: _of_places(some, given[rows], rays[rows], thickness[rows], _FIT), _STEPS
    )
    before = fitted.keypoints()
    if not (overlaps(fitted, mirror) > 0).any():
        return hands

    def terms(pair: Hands, _: np.ndarray) -> Sums:
        sums = Sums.empty(1, 2 * PARAMETERS)
        single = _of_places(pair, before, rays, thickness, _KEPT).without_shapes()
        for k in range(2):
            sums.add_hands(np.zeros(1, int), k, single.rows(np.array([k])))
        add_overlaps(sums, pair, mirror, _OVERLAP_M)
        return sums.with_shapes_held()

    moved, _, _ = minimise(fitted, 1, terms, _STEPS)
    moves = (moved.keypoints() - before) * mirror[:, None]
    made = {
        hand.side: replace(hand, positions=hand.positions + move) for hand, move in zip(present, moves, strict=True)
    }
    return TwoHands(**made) if all(_is_usable(hand) for hand in made.values()) else hands


def _is_usable(hand: HandKeypoints) -> bool:
    return bool(np.isfinite(hand.positions).all() and hand.positions[:, 2].min() >= MINIMUM_DEPTH_M)


def _observed(hand: HandKeypoints, camera: Camera) -> Observation:
    """A placed hand as if it had been seen where it is."""
    palm_m = max(float(np.linalg.norm(hand.positions[MIDDLE_MCP] - hand.positions[WRIST])), _LEAST_PALM_M)
    pixels, positions = camera.project(hand.positions), np.asarray(hand.positions, np.float64)
    detection = HandDetection(hand.side, pixels, positions, hand.confidence, hand.score, hand.source)
    places, toward = np.full(len(positions), _PLACES), np.full(len(ENDS), _TOWARD)
    thickness = float(np.log(hand.thickness))
    return Observation(
        detection, camera, palm_m, pixels, positions, places, toward, hand.confidence, thickness=thickness
    )  # fmt: skip


def _of_places(
    hands: Hands, aim: np.ndarray, rays: np.ndarray, thickness: np.ndarray, spread: tuple[float, float, float]
) -> Sums:
    """The terms of N hands whose keypoints shall be at ``aim`` (N, 21, 3).

    ``rays`` (N, 3) lead to them, ``thickness`` (N,) is usual for them, ``spread`` are the deviations.
    """
    across, along, together = spread
    sums = Sums.empty(len(hands), PARAMETERS)
    points, change = Chain(hands).points_and_jacobian(KEYPOINTS)
    away = points + hands.translation[:, None] - aim
    depth, depth_change = away @ rays[:, :, None], (rays[:, None, None] @ change)  # (N, 21, 1), (N, 21, 1, P)
    mean, mean_change = depth.mean(axis=1), depth_change.mean(axis=1)
    flat = (away - depth * rays[:, None]) / across
    flat_change = (change - rays[:, None, :, None] * depth_change) / across
    deep, deep_change = (depth - mean[:, None])[..., 0] / along, (depth_change - mean_change[:, None])[:, :, 0] / along
    count = len(hands)
    residual = np.concatenate([flat.reshape(count, -1), deep, mean / together], axis=1)
    jacobian = np.concatenate(
        [flat_change.reshape(count, -1, PARAMETERS), deep_change, mean_change / together], axis=1
    )  # fmt: skip
    sums.cost += 0.5 * (residual**2).sum(axis=1)
    sums.add_squares(residual, jacobian)
    add_anatomy(sums, hands, thickness)
    return sums
