"""Places detected hands in the camera frame, in metres: perspective-n-point, then the anatomical fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, SIDES, WRIST, HandKeypoints, Side, TwoHands
from im2hands.keypoints.hypothesis import HandDetection, LiftedHand

from .anatomical_fit import Trust, fit_hand
from .confidence import LIFTED, WITHIN_M, Calibration, bundled_calibration
from .joint_definitions import OFFSETS, to_own_definition

DEFAULT_PALM_M = 0.088
"""Distance from wrist to middle MCP of an average hand, metres."""

MINIMUM_DEPTH_M = 0.05
# Largest rotation by PnP. It only corrects the perspective of a hand off the optical axis; a larger rotation is the
# mirrored solution of a flat hand.
LARGEST_TURN = np.radians(30.0)

# Relative error of a hand's distance estimated from its size.
_SIZE_SPREAD = 0.06
_FOLLOWED = 0.2
"""Length of a shift by the lifting network, palm lengths, at which half of it is applied to a keypoint with full
confidence. At lower confidence half is applied at a shorter length."""

_LARGEST_DEPTH = 4.0
"""Largest difference in depth between two wrists, palm lengths. A larger estimate of a network is not used."""

# At this distance (palm lengths) between a keypoint and the projected rigid shape, its confidence falls to 60 %.
_TRUST_RADIUS = 0.15


def place_hands(
    detections: Sequence[HandDetection],
    camera: Camera,
    palm_m: float = DEFAULT_PALM_M,
    calibration: Calibration | None = None,
) -> TwoHands:
    """Place the hands of one picture in the camera frame.

    Each shape is scaled so that wrist to middle MCP measures ``palm_m``, and placed by perspective-n-point. Then it is
    replaced by an anatomically possible hand that projects to the same pixels, so that meshes cover the photographed
    fingers and bend as fingers do.

    Parameters
    ----------
    detections : Sequence[HandDetection]
        The detected hands. Of several with one side the one with the highest score is used.
    camera : Camera
        Camera of the picture that the detections' pixels refer to.
    palm_m : float
        Distance from wrist to middle MCP, metres; the same for both hands and the whole take.
    calibration : Calibration or None
        Tables from raw certainty to confidence. None for those that ship.

    Returns
    -------
    TwoHands
        Positions (21, 3) in metres, camera frame. A detection is left out if its shape or pixels have no extent or are
        not finite.
    """
    found: dict[Side, HandKeypoints] = {}
    for detection in sorted(detections, key=lambda d: d.score):
        hand = _lift_one(detection, camera, palm_m, calibration or bundled_calibration())
        if hand is not None:
            found[hand.side] = hand
    sides: dict[Side, HandDetection] = {d.side: d for d in sorted(detections, key=lambda d: d.score)}
    if len(found) == 2:
        found = _settle_depths(found, sides, palm_m)
    return TwoHands(**{side: found.get(side) for side in SIDES})


def _settle_depths(
    found: dict[Side, HandKeypoints], detections: dict[Side, HandDetection], palm_m: float
) -> dict[Side, HandKeypoints]:
    """Move two hands along their own rays towards the difference in depth that the networks estimate.

    A hand's size gives its distance to a few percent, which for touching hands is the width of a palm. The networks
    estimate which hand is in front. All estimates are weighted by their expected errors.
    """
    left, right = found["left"], found["right"]
    sized = float(right.positions[WRIST, 2] - left.positions[WRIST, 2])
    spread = np.sqrt(2) * _SIZE_SPREAD * 0.5 * float(left.positions[WRIST, 2] + right.positions[WRIST, 2])
    weights, values = [1 / spread**2], [sized]
    lifted = [detections[side].lifted for side in SIDES]
    for side, sign, seen in zip(SIDES, (1.0, -1.0), lifted, strict=True):
        # The two hands' estimates are correlated (one network, one picture), so each is weighted 0.75.
        if all(hand is not None and hand.depth is not None for hand in lifted):
            assert seen is not None and seen.depth is not None and seen.depth_spread is not None
            depth, error = seen.depth, seen.depth_spread
        elif (wrist_offset := detections[side].wrist_offset) is not None and np.isfinite(wrist_offset.vector).all():
            depth, error = float(wrist_offset.vector[2]), float(wrist_offset.spread[2])
        else:
            continue
        if np.isfinite(depth) and abs(depth) < _LARGEST_DEPTH:
            weights.append(0.75 / max(error * palm_m * np.sqrt(2), 1e-4) ** 2)
            values.append(sign * depth * palm_m)
    move = float(np.average(values, weights=weights)) - sized
    return {"left": _moved(left, -move / 2), "right": _moved(right, move / 2)}


def _moved(hand: HandKeypoints, depth: float) -> HandKeypoints:
    """Move a hand along the ray through its middle by ``depth`` metres, never behind the camera."""
    centre = hand.positions.mean(axis=0)
    depth = max(depth, MINIMUM_DEPTH_M - float(hand.positions[:, 2].min()))
    return replace(hand, positions=hand.positions + depth * centre / centre[2])


def _lift_one(
    detection: HandDetection, camera: Camera, palm_m: float, calibration: Calibration
) -> HandKeypoints | None:
    """Place one hand; None if its shape or pixels have no extent or are not finite."""
    if detection.lifted is not None:
        return _place_lifted(detection, detection.lifted, camera, palm_m, calibration)
    pixels = np.asarray(detection.pixels, dtype=np.float64)
    shape = np.asarray(detection.shape, dtype=np.float64)
    palm_shape = float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]))
    if not (np.isfinite(pixels).all() and np.isfinite(shape).all()) or palm_shape < 1e-6:
        return None
    if np.ptp(pixels, axis=0).max() < 1.0:
        return None
    if detection.source in OFFSETS:
        pixels, shape = to_own_definition(pixels, shape, detection.side, detection.source)
        palm_shape = max(float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST])), 1e-6)
    metric = (shape - shape.mean(axis=0)) * (palm_m / palm_shape)
    rigid = place(metric, pixels, camera)
    palm_px = palm_m * camera.fx / float(rigid[:, 2].mean())
    trust = Trust.by_confidence(detection.confidence)
    fitted = fit_hand(rigid, pixels, trust, camera, detection.side, palm_m)
    if not np.isfinite(fitted).all() or fitted[:, 2].min() < MINIMUM_DEPTH_M:
        fitted = rigid
    miss = np.linalg.norm(camera.project(rigid) - pixels, axis=1) / palm_px
    outside = (pixels < -0.5).any(axis=1) | (pixels > (camera.width - 0.5, camera.height - 0.5)).any(axis=1)
    confidence = detection.confidence * np.exp(-0.5 * (miss / _TRUST_RADIUS) ** 2) * np.where(outside, 0.5, 1.0)
    confidence = calibration(np.clip(confidence, 0, 1), detection.source, detection.wrist_offset is not None)
    return HandKeypoints(detection.side, fitted, pixels, confidence, detection.score, detection.source)


def _place_lifted(
    detection: HandDetection, seen: LiftedHand, camera: Camera, palm_m: float, calibration: Calibration
) -> HandKeypoints | None:
    """Place a hand with the lifting network's shape; None if it has no extent or is not finite."""
    arrays = (seen.shape, seen.spread, seen.pixels, seen.pixel_spread)
    if not all(np.isfinite(values).all() for values in arrays) or np.ptp(seen.pixels, axis=0).max() < 1.0:
        return None
    metric = (seen.shape - seen.shape.mean(axis=0)) * palm_m
    pixels = _shown_pixels(detection, seen)
    rigid = place(metric, pixels, camera)
    palm_px = palm_m * camera.fx / float(rigid[:, 2].mean())
    trust = Trust.by_spread(seen.pixel_spread / palm_px, seen.spread, seen.shape)
    fitted = fit_hand(rigid, pixels, trust, camera, detection.side, palm_m)
    if not np.isfinite(fitted).all() or fitted[:, 2].min() < MINIMUM_DEPTH_M:
        fitted = rigid
    within = 1 - np.exp(-WITHIN_M / (np.sqrt(3) * np.maximum(seen.spread, 1e-3) * palm_m))
    confidence = calibration(np.clip(within, 0, 1), LIFTED, False)
    return HandKeypoints(detection.side, fitted, pixels, confidence, detection.score, detection.source)


def _shown_pixels(detection: HandDetection, seen: LiftedHand) -> np.ndarray:
    """Return the pixels (21, 2) to fit: as read if the lifting network moves a keypoint little, else as it estimates.

    The lifting network was trained on rendered hands. On photographs, clearly visible keypoints are more accurate as
    they were read. Keypoints that only the two-hand network reads are less accurate, so the lifting network's are used.
    """
    read, shape = np.asarray(detection.pixels, np.float64), np.asarray(detection.shape, np.float64)
    if detection.source not in OFFSETS or not (np.isfinite(read).all() and np.isfinite(shape).all()):
        return seen.pixels
    read, _ = to_own_definition(read, shape, detection.side, detection.source)
    flat = seen.shape[:, :2] - seen.shape[:, :2].mean(axis=0)
    extent = np.linalg.norm(seen.pixels - seen.pixels.mean(axis=0))
    palm_px = float(extent) / max(float(np.linalg.norm(flat)), 1e-9)
    move = seen.pixels - read
    far = (np.linalg.norm(move, axis=1, keepdims=True) / max(palm_px, 1e-9)) ** 2
    half = (_FOLLOWED * np.clip(detection.confidence, 0.01, 1.0)[:, None]) ** 2
    shown: np.ndarray = read + far / (far + half) * move
    return shown


def place(shape: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """Place a metric shape so that it projects to given pixels: perspective-n-point.

    Parameters
    ----------
    shape : (N, 3) float64
        Points in metres, axes roughly parallel to the camera frame, any origin.
    pixels : (N, 2) float64
        Their pixels.
    camera : Camera
        Intrinsics.

    Returns
    -------
    (N, 3) float64
        The rotated and translated shape, metres, camera frame, all depths positive. It is the weak-perspective
        placement if PnP gives no valid result (behind the camera, or a flat hand turned over).
    """
    rotation, translation = _weak_perspective(shape, pixels, camera)
    start = shape @ rotation.T + translation
    best, best_error = start, _error(start, pixels, camera)
    guess = cv2.Rodrigues(rotation)[0], translation.reshape(3, 1).copy()
    for flags, use_guess in ((cv2.SOLVEPNP_ITERATIVE, True), (cv2.SOLVEPNP_SQPNP, False)):
        start_turn, start_move = guess[0].copy(), guess[1].copy()  # OpenCV overwrites its arguments
        try:
            ok, turn, move = cv2.solvePnP(
                shape, pixels, camera.matrix, None, start_turn, start_move, useExtrinsicGuess=use_guess, flags=flags
            )
            if ok and not use_guess:
                turn, move = cv2.solvePnPRefineLM(shape, pixels, camera.matrix, None, turn, move)
        except cv2.error:
            continue
        if not ok or not (np.isfinite(turn).all() and np.isfinite(move).all()):
            continue
        matrix = cv2.Rodrigues(turn)[0]
        angle = np.arccos(np.clip((np.trace(matrix @ rotation.T) - 1) / 2, -1, 1))
        placed = shape @ matrix.T + move.reshape(3)
        error = _error(placed, pixels, camera)
        if angle <= LARGEST_TURN and placed[:, 2].min() > MINIMUM_DEPTH_M and error < best_error:
            best, best_error = placed, error
    return best


def _weak_perspective(shape: np.ndarray, pixels: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation (3, 3) and translation (3,) of the shape on its centre's ray, its depth given by its size."""
    rays = camera.unproject(pixels, 1.0)
    ray = rays.mean(axis=0)
    # The shape is given as viewed along its own ray, so the optical axis is rotated onto that ray.
    axis = np.cross((0.0, 0.0, 1.0), ray)
    angle = np.arctan2(np.linalg.norm(axis), ray[2])
    rotation = cv2.Rodrigues(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle)[0]
    centre = shape.mean(axis=0)
    turned = (shape - centre) @ rotation.T
    flat, seen = turned[:, :2] - ray[:2] * turned[:, 2:3], rays[:, :2] - ray[:2]
    # 1 / depth: least squares of the flat shape against the rays, but never far below the ratio of the extents.
    ratio = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9)
    inverse = max(float((flat * seen).sum()) / max(float((flat**2).sum()), 1e-12), 0.5 * ratio, 1e-6)
    reach = float(-turned[:, 2].min())
    translation = ray * max(1.0 / inverse, MINIMUM_DEPTH_M + 1e-6 + reach)
    return rotation, translation - rotation @ centre


def _error(placed: np.ndarray, pixels: np.ndarray, camera: Camera) -> float:
    """Return the root mean square reprojection error, pixels."""
    return float(np.sqrt(np.mean(np.sum((camera.project(placed) - pixels) ** 2, axis=1))))
