"""Fits the kinematic hand to a detection: pixels in the picture, bone directions in space, and joint limits.

A keypoint network bends fingers in impossible ways, most of all along the line of sight. The fit finds a possible hand
that projects to the same pixels: damped least squares (Levenberg-Marquardt) with robust pixel terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import WRIST, Side

from .kinematics import ANGLE_LIMITS, ANGLES, PARAMETERS, USUAL_STRETCH, HandPose, canonical_rotation

# Standard deviations of the terms.
_PIXEL = 0.030  # palm lengths; a keypoint's place in the picture
_DIRECTION = 0.60  # a bone's unit direction against the detected shape
# The same where a network predicts its errors: factor and floor of a place's deviation (palm lengths), factor and
# bounds of a direction's deviation. Places get half of their predicted error, because meshes shall cover the picture.
_PIXEL_SPREAD, _PIXEL_FLOOR = 0.5, 0.015
_TOWARD_SPREAD, _TOWARD = 1.0, (0.08, 1.5)
_STRETCH = 0.09  # natural logarithm of a bone length against the usual one
_WIDTH = 0.08  # natural logarithm of the palm's width factor
_ANGLE = np.radians(45.0)  # joint angle against the usual one
_COUPLING = np.radians(15.0)  # a finger's last joint against two thirds of the joint before it
_BEYOND = np.radians(3.0)  # how far a joint exceeds its limit
_ROBUST = 4.0  # deviations beyond which a pixel term's weight falls
_STEPS = 40
# Divisors of two keypoints' pixel deviations. The wrist gets a small deviation, as only it shows how the palm is turned
# against the knuckles. The thumb's first joint gets a large one, as its place differs between skeletons.
_WRIST_TRUST, _THUMB_ROOT_TRUST = 2.0, 0.5

_STARTS = np.array([4 * f + k for f in range(5) for k in range(1, 4)])
_ENDS = _STARTS + 1
_PALM_POINTS = (0, 1, 5, 9, 13, 17)


@dataclass(frozen=True)
class Trust:
    """Standard deviations of the detected places and directions: how close the fit keeps to them.

    Parameters
    ----------
    places : (21,) float64
        Of the keypoints in the picture, palm lengths.
    directions : (15,) float64
        Of the unit directions of the fingers' bones.
    """

    places: np.ndarray
    directions: np.ndarray

    @classmethod
    def by_confidence(cls, confidence: np.ndarray) -> Trust:
        """Derive deviations from confidences. All directions get the same deviation.

        Parameters
        ----------
        confidence : (21,) float64
            Confidence of each keypoint, in [0, 1].

        Returns
        -------
        Trust
            The deviations.
        """
        places = _PIXEL / np.sqrt(np.clip(confidence, 0.05, 1.0))
        places[WRIST] /= _WRIST_TRUST
        places[1] /= _THUMB_ROOT_TRUST
        return cls(places, np.full(len(_ENDS), _DIRECTION))

    @classmethod
    def by_spread(cls, places: np.ndarray, spread: np.ndarray, shape: np.ndarray) -> Trust:
        """Derive deviations from errors that a network predicts.

        Parameters
        ----------
        places : (21,) float64
            Expected error of the keypoints in the picture, palm lengths.
        spread : (21,) float64
            Expected error of the shape's coordinates, palm lengths.
        shape : (21, 3) float64
            The shape, palm lengths.

        Returns
        -------
        Trust
            The deviations.
        """
        seen = np.hypot(places * _PIXEL_SPREAD, _PIXEL_FLOOR)
        seen[WRIST] /= _WRIST_TRUST
        lengths = np.linalg.norm(shape[_ENDS] - shape[_STARTS], axis=1)
        toward = np.hypot(spread[_ENDS], spread[_STARTS]) * _TOWARD_SPREAD / np.maximum(lengths, 0.15)
        return cls(seen, np.clip(toward, *_TOWARD))


def fit_hand(
    placed: np.ndarray, pixels: np.ndarray, trust: Trust, camera: Camera, side: Side, palm_m: float
) -> np.ndarray:
    """Fit an anatomically possible hand to a detection.

    Parameters
    ----------
    placed : (21, 3) float64
        The detected shape, rigidly placed; metres, camera frame.
    pixels : (21, 2) float64
        The detected keypoints, pixels.
    trust : Trust
        Deviations of places and directions.
    camera : Camera
        Intrinsics of the picture.
    side : Side
        The person's own left or right hand.
    palm_m : float
        Distance from wrist to middle MCP, metres.

    Returns
    -------
    (21, 3) float64
        Keypoints in metres, camera frame.
    """
    mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    shape = placed * mirror
    rays = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy) * mirror[:2]
    sigma = trust.places * palm_m / float(placed[:, 2].mean())
    directions = shape[_ENDS] - shape[_STARTS]
    directions = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    best, best_cost = None, np.inf
    for start in _starts(shape, palm_m):
        pose, cost = _solve(start, rays, sigma, directions, trust.directions)
        if cost < best_cost:
            best, best_cost = pose, cost
    assert best is not None
    return best.keypoints() * mirror


def _starts(shape: np.ndarray, palm_m: float) -> list[HandPose]:
    """Return two starting poses, an open and a half closed hand, placed like the shape's palm."""
    usual = ANGLE_LIMITS[..., 2]
    closed = usual.copy()
    closed[1:, :3] = np.radians((55.0, 70.0, 40.0))
    poses = [HandPose(canonical_rotation(shape), shape[0], palm_m, angles, USUAL_STRETCH) for angles in (usual, closed)]
    for pose in poses:
        offset = (shape - pose.keypoints())[list(_PALM_POINTS)].mean(axis=0)
        pose.translation = pose.translation + offset
    return poses


def _solve(
    pose: HandPose, rays: np.ndarray, sigma: np.ndarray, directions: np.ndarray, toward: np.ndarray
) -> tuple[HandPose, float]:
    """Run Levenberg-Marquardt from ``pose``; return the pose found and its cost."""
    damping = 1e-2
    residual, jacobian = _terms(pose, rays, sigma, directions, toward)
    cost = float(residual @ residual)
    for _ in range(_STEPS):
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -jacobian.T @ residual)
        step *= min(1.0, 0.6 / max(float(np.abs(step[:3]).max()), float(np.abs(step[6 : 6 + ANGLES]).max()), 1e-9))
        trial = pose.moved(step)
        trial_residual, trial_jacobian = _terms(trial, rays, sigma, directions, toward)
        trial_cost = float(trial_residual @ trial_residual)
        if not np.isfinite(trial_cost) or trial_cost > cost:
            damping = min(damping * 4, 1e6)
            if damping >= 1e6:
                break
            continue
        done = cost - trial_cost < 1e-5 * cost
        pose, residual, jacobian, cost = trial, trial_residual, trial_jacobian, trial_cost
        damping = max(damping / 3, 1e-7)
        if done:
            break
    return pose, cost


def _terms(
    pose: HandPose, rays: np.ndarray, sigma: np.ndarray, directions: np.ndarray, toward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals (R,), in standard deviations, and their Jacobian (R, 42)."""
    points, change = pose.keypoints_and_jacobian()
    depth = np.maximum(points[:, 2], 0.02)[:, None]
    seen = points[:, :2] / depth
    pixel = (seen - rays) / sigma[:, None]
    pixel_change = (change[:, :2] - seen[..., None] * change[:, 2:3]) / depth[..., None] / sigma[:, None, None]
    # Pseudo-Huber loss, written as a weight on both coordinates.
    size = np.linalg.norm(pixel, axis=1)
    weight = (1.0 / np.sqrt(1.0 + (size / _ROBUST) ** 2)) ** 0.5
    pixel, pixel_change = pixel * weight[:, None], pixel_change * weight[:, None, None]

    span, span_change = points[_ENDS] - points[_STARTS], change[_ENDS] - change[_STARTS]
    length = np.maximum(np.linalg.norm(span, axis=1), 1e-9)[:, None]
    unit = span / length
    unit_change = (span_change - unit[..., None] * (unit[:, None] @ span_change)) / length[..., None]
    direction = (unit - directions) / toward[:, None]

    low, high, usual = np.moveaxis(ANGLE_LIMITS, -1, 0)
    angles = pose.angles
    beyond = (np.minimum(angles - low, 0.0) + np.maximum(angles - high, 0.0)).ravel() / _BEYOND
    eye = np.zeros((ANGLES, PARAMETERS))
    eye[np.arange(ANGLES), 6 + np.arange(ANGLES)] = 1.0
    coupled = (angles[1:, 2] - 0.67 * angles[1:, 1]) / _COUPLING
    thirds, seconds = np.arange(4) * 4 + 6, np.arange(4) * 4 + 5
    priors = [
        ((angles - usual).ravel() / _ANGLE, eye / _ANGLE),
        (beyond, eye * (beyond != 0)[:, None] / _BEYOND),
        (coupled, (eye[thirds] - 0.67 * eye[seconds]) / _COUPLING),
        ((pose.stretch - USUAL_STRETCH).ravel() / _STRETCH, np.eye(PARAMETERS)[6 + ANGLES : -1] / _STRETCH),
        (np.array([pose.width / _WIDTH]), np.eye(PARAMETERS)[-1:] / _WIDTH),
    ]
    residual = [pixel.ravel(), direction.ravel(), *(value for value, _ in priors)]
    jacobian = [
        pixel_change.reshape(-1, PARAMETERS), (unit_change / toward[:, None, None]).reshape(-1, PARAMETERS),
        *(value for _, value in priors),
    ]  # fmt: skip
    return np.concatenate(residual), np.concatenate(jacobian)
