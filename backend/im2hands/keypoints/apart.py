"""Two hands do not lie in each other: of the depths that are likely, one at which they do not.

Each hand is a row of spheres along its bones. Depth between two hands is told to some centimetres only, so hands that
touch in the picture would often end up within each other.
"""

from __future__ import annotations

import numpy as np

from ..hands import KEYPOINT_PARENTS, WRIST

# Radii of fingers and of the palm's bones, palm lengths of a hand of 88 mm: a little thinner than flesh, which gives.
_FINGER, _PALM = 0.080, 0.110
_ALONG = np.array([0.25, 0.5, 0.75, 1.0])
_STEP, _REACH = 0.002, 0.060
"""Metres between the moves that are tried, and the farthest."""

_FREE = 0.004
"""Metres that spheres of two hands may overlap: skin is soft, keypoints are inexact."""

_DEEP = 0.006
"""Metres of overlap beyond that which count as much as one expected error of the depth."""


def spheres(positions: np.ndarray, palm_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres (N, 3) and radii (N,), metres, of a hand's spheres.

    Args:
        positions: (21, 3) keypoints, metres. palm_m: wrist to middle MCP, metres.
    """
    centres, radii = [], []
    for k in range(1, len(positions)):
        start, end = positions[KEYPOINT_PARENTS[k]], positions[k]
        palm = KEYPOINT_PARENTS[k] == WRIST and k != 1
        centres.append(start + _ALONG[:, None] * (end - start))
        radii.append(np.full(len(_ALONG), (_PALM if palm else _FINGER) * palm_m))
    return np.concatenate(centres), np.concatenate(radii)


def move_apart(left: np.ndarray, right: np.ndarray, palm_m: float, spread_m: float) -> float:
    """How much farther the right hand should lie than the left one, metres, so that they are not in each other.

    Args:
        left, right: (21, 3) keypoints, camera frame, metres. palm_m: wrist to middle MCP, metres. spread_m: expected
            error of the depth between the hands, metres.

    Returns:
        The change of the depth between them, 0 where they are apart: the smallest sum of squares of the move, in
        expected errors, and of the deepest overlap.
    """
    (a, ra), (b, rb) = spheres(left, palm_m), spheres(right, palm_m)
    reach = ra[:, None] + rb[None] - _FREE
    flat = np.linalg.norm(a[:, None, :2] - b[None, :, :2], axis=-1)
    near = flat < reach + 0.05 * palm_m
    if not near.any():
        return 0.0
    rows, columns = np.nonzero(near)
    count = round(_REACH / _STEP)
    moves = _STEP * np.arange(-count, count + 1)
    rays_a, rays_b = left.mean(axis=0), right.mean(axis=0)
    rays_a, rays_b = rays_a / rays_a[2], rays_b / rays_b[2]
    # Each hand goes half of the way along its own ray.
    between = (b[columns] - a[rows])[None] + moves[:, None, None] * (0.5 * (rays_a + rays_b))
    overlap = np.maximum(reach[rows, columns] - np.linalg.norm(between, axis=-1), 0.0).max(axis=1)
    cost = (moves / max(spread_m, 1e-4)) ** 2 + (overlap / _DEEP) ** 2
    return float(moves[int(np.argmin(cost + 1e-9 * np.abs(moves)))])
