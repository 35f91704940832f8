"""Hands seen in a picture, placed as metric keypoints in the camera frame: perspective-n-point, then a pixel fit."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..hands import KEYPOINT_PARENTS, MIDDLE_MCP, SIDES, WRIST, Camera, HandKeypoints, TwoHands
from .provider import HandDetection

DEFAULT_PALM_M = 0.088
"""Wrist to middle MCP of a hand of ordinary size, metres."""

MINIMUM_DEPTH_M = 0.05
# PnP only has to correct how a hand off the optical axis is seen; more is the mirrored solution of a flat hand.
LARGEST_TURN = np.radians(30.0)

# What the fit to the pixels holds on to: standard deviations relative to the palm's length (pixels or metres).
_PIXEL_SIGMA = 0.012
_LENGTH_SIGMA = 0.012
_DEPTH_SIGMA = 0.12
_FIT_STEPS = 12
# A keypoint this far (in palms) from where the rigid shape would be seen keeps 60 % of its confidence.
_TRUST_RADIUS = 0.15

# Bone lengths of an ordinary hand in palms, in the order of keypoints 1 to 20: medians of 136 real hands as MediaPipe's
# keypoints define them. Its shapes shrink bent fingers, so lengths are held within a range of these.
TYPICAL_LENGTHS = np.array(
    [
        (0.40, 0.36, 0.36, 0.33),
        (1.03, 0.36, 0.25, 0.29),
        (1.00, 0.41, 0.29, 0.30),
        (0.98, 0.38, 0.27, 0.27),
        (0.89, 0.32, 0.24, 0.21),
    ]
).ravel()
LENGTH_RANGE = (0.8, 1.25)

_BONES = tuple((KEYPOINT_PARENTS[k], k) for k in range(1, 21))
_PALM_BRACES = ((1, 5), (5, 9), (9, 13), (13, 17), (5, 17), (2, 5), (1, 9), (1, 17))
_STARTS, _ENDS = (np.array(ends) for ends in zip(*(_BONES + _PALM_BRACES), strict=True))


def lift(detections: Sequence[HandDetection], camera: Camera, palm_m: float = DEFAULT_PALM_M) -> TwoHands:
    """Hands of one picture placed in the camera frame.

    Each shape is scaled so that wrist to middle MCP measures ``palm_m``, placed by perspective-n-point, and then
    fitted to the pixels with its bone lengths nearly kept, so that meshes lie over the photographed fingers.

    Args:
        detections: what a provider saw; of several with one side the one with the highest score counts.
        camera: of the picture whose pixels the detections are in.
        palm_m: wrist to middle MCP, metres; the same for both hands and the whole take.

    Returns:
        Positions (21, 3) metres in the camera frame. A detection whose shape or pixels have no extent or are not
        finite is left out.
    """
    found: dict[str, HandKeypoints] = {}
    for detection in sorted(detections, key=lambda d: d.score):
        hand = _lift_one(detection, camera, palm_m)
        if hand is not None:
            found[hand.side] = hand
    return TwoHands(**{side: found.get(side) for side in SIDES})


def _lift_one(detection: HandDetection, camera: Camera, palm_m: float) -> HandKeypoints | None:
    pixels = np.asarray(detection.pixels, dtype=np.float64)
    shape = np.asarray(detection.shape, dtype=np.float64)
    palm_shape = float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]))
    if not (np.isfinite(pixels).all() and np.isfinite(shape).all()) or palm_shape < 1e-6:
        return None
    if np.ptp(pixels, axis=0).max() < 1.0:
        return None
    metric = (shape - shape.mean(axis=0)) * (palm_m / palm_shape)
    rigid = place(metric, pixels, camera)
    palm_px = palm_m * camera.fx / float(rigid[:, 2].mean())
    fitted = fit_to_pixels(rigid, pixels, camera)
    miss = np.linalg.norm(camera.project(rigid) - pixels, axis=1) / palm_px
    outside = (pixels < -0.5).any(axis=1) | (pixels > (camera.width - 0.5, camera.height - 0.5)).any(axis=1)
    confidence = detection.confidence * np.exp(-0.5 * (miss / _TRUST_RADIUS) ** 2) * np.where(outside, 0.5, 1.0)
    return HandKeypoints(detection.side, fitted, pixels, np.clip(confidence, 0, 1), detection.score, detection.source)


def place(shape: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """Place a metric shape so that it is seen at the pixels: perspective-n-point.

    Args:
        shape: (N, 3) metres, axes roughly parallel to the camera frame, any origin.
        pixels: (N, 2) pixels.
        camera: intrinsics.

    Returns:
        (N, 3) float64, the shape turned and moved, camera frame, metres, every depth positive. Where PnP gives no
        sound answer (behind the camera, or a flat hand turned over), the weak-perspective placement.
    """
    rotation, translation = _weak_perspective(shape, pixels, camera)
    start = shape @ rotation.T + translation
    best, best_error = start, _error(start, pixels, camera)
    guess = cv2.Rodrigues(rotation)[0], translation.reshape(3, 1).copy()
    for flags, use_guess in ((cv2.SOLVEPNP_ITERATIVE, True), (cv2.SOLVEPNP_SQPNP, False)):
        start_turn, start_move = guess[0].copy(), guess[1].copy()  # OpenCV writes into them
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


def fit_to_pixels(placed: np.ndarray, pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """Move keypoints onto the rays of their pixels, bone lengths and palm nearly kept, depths close to the placement.

    Bones whose length no hand has (``LENGTH_RANGE`` around ``TYPICAL_LENGTHS``) are drawn into that range.

    Args:
        placed: (21, 3) metres, camera frame: a rigidly placed hand. pixels: (21, 2). camera: intrinsics.

    Returns:
        (21, 3) float64 metres, camera frame.
    """
    scale = float(np.linalg.norm(placed[MIDDLE_MCP] - placed[WRIST]))
    scale_px = scale * camera.fx / float(placed[:, 2].mean())
    lengths = np.linalg.norm(placed[_ENDS] - placed[_STARTS], axis=1)
    typical = TYPICAL_LENGTHS * scale
    lengths[:20] = np.clip(lengths[:20], LENGTH_RANGE[0] * typical, LENGTH_RANGE[1] * typical)
    points = placed.copy()
    edges, rows = np.arange(len(_STARTS)), np.arange(len(placed))
    length_weight = 1.0 / (_LENGTH_SIGMA * scale)
    depth_weight = 1.0 / (_DEPTH_SIGMA * scale)
    pixel_weight = 1.0 / (_PIXEL_SIGMA * scale_px)
    for _ in range(_FIT_STEPS):
        depth = points[:, 2]
        seen = (camera.project(points) - pixels) * pixel_weight
        span = points[_ENDS] - points[_STARTS]
        now = np.maximum(np.linalg.norm(span, axis=1), 1e-9)
        residual = np.concatenate(
            [seen[:, 0], seen[:, 1], (now - lengths) * length_weight, (depth - placed[:, 2]) * depth_weight]
        )
        jacobian = np.zeros((len(residual), len(points), 3))
        count = len(points)
        jacobian[rows, rows, 0] = camera.fx / depth * pixel_weight
        jacobian[rows, rows, 2] = -camera.fx * points[:, 0] / depth**2 * pixel_weight
        jacobian[count + rows, rows, 1] = camera.fy / depth * pixel_weight
        jacobian[count + rows, rows, 2] = -camera.fy * points[:, 1] / depth**2 * pixel_weight
        direction = span / now[:, None] * length_weight
        jacobian[2 * count + edges, _ENDS] = direction
        jacobian[2 * count + edges, _STARTS] = -direction
        jacobian[2 * count + len(edges) + rows, rows, 2] = depth_weight
        matrix = jacobian.reshape(len(residual), -1)
        step = np.linalg.solve(matrix.T @ matrix + 1e-3 * np.eye(matrix.shape[1]), -matrix.T @ residual)
        step = step.reshape(points.shape)
        points = points + step * min(1.0, 0.25 * scale / max(float(np.abs(step).max()), 1e-12))
        points[:, 2] = np.maximum(points[:, 2], MINIMUM_DEPTH_M)
        if np.abs(step).max() < 1e-6:
            break
    return points


def _weak_perspective(shape: np.ndarray, pixels: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and translation (3,) that put the shape on the ray of its centre, at the depth its size tells."""
    rays = camera.unproject(pixels, 1.0)
    ray = rays.mean(axis=0)
    # The shape is as seen along its own ray, so the optical axis turns onto that ray.
    axis = np.cross((0.0, 0.0, 1.0), ray)
    angle = np.arctan2(np.linalg.norm(axis), ray[2])
    rotation = cv2.Rodrigues(axis / max(float(np.linalg.norm(axis)), 1e-12) * angle)[0]
    centre = shape.mean(axis=0)
    turned = (shape - centre) @ rotation.T
    flat, seen = turned[:, :2] - ray[:2] * turned[:, 2:3], rays[:, :2] - ray[:2]
    # 1 / depth: the projection onto the seen extent, but never far below the ratio of the extents.
    ratio = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9)
    inverse = max(float((flat * seen).sum()) / max(float((flat**2).sum()), 1e-12), 0.5 * ratio, 1e-6)
    reach = float(-turned[:, 2].min())
    translation = ray * max(1.0 / inverse, MINIMUM_DEPTH_M + 1e-6 + reach)
    return rotation, translation - rotation @ centre


def _error(placed: np.ndarray, pixels: np.ndarray, camera: Camera) -> float:
    """Root mean square reprojection error, pixels."""
    return float(np.sqrt(np.mean(np.sum((camera.project(placed) - pixels) ** 2, axis=1))))
