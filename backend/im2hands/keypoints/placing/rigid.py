"""Places a rigid shape so that it projects to given pixels: perspective-n-point."""

from __future__ import annotations

import cv2
import numpy as np

from im2hands.core.camera import Camera

MINIMUM_DEPTH_M = 0.05
# Largest rotation by PnP. It only corrects the perspective of a hand off the optical axis; a larger rotation is the
# mirrored solution of a flat hand.
_LARGEST_TURN = 30.0  # degrees


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
        if np.degrees(angle) <= _LARGEST_TURN and placed[:, 2].min() > MINIMUM_DEPTH_M and error < best_error:
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
