"""Converts keypoints between MediaPipe's definition of the joints and the bundled hand's.

MediaPipe's networks were trained on photos annotated by people. All our networks were trained on the joints of the
bundled hand's rig. On rendered hands, whose joints are known, MediaPipe's landmark network places knuckles a tenth of a
palm length nearer to the wrist, and fingertips a tenth of a palm length short of the tip. Without the conversion
fingers become too short.
"""

from __future__ import annotations

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST

SOURCES = frozenset({"mediapipe", "crops"})
"""Sources of detections whose keypoints follow MediaPipe's definition."""

# Medians over 261 clearly visible rendered hands, of bones viewed from the side: `benchmarks/joint_definitions.py`.
ALONG = -np.array(
    [
        0.051,
        *(-0.012, 0.048, -0.030, -0.103),
        *(-0.107, -0.016, -0.008, -0.124),
        *(-0.083, -0.025, -0.033, -0.103),
        *(-0.078, -0.018, -0.012, -0.112),
        *(-0.099, -0.023, -0.001, -0.084),
    ]
)
"""(21,) shift of each keypoint along its own bone, from MediaPipe's definition to the bundled hand's; palm lengths,
file order. The bone starts at the joint before, for the wrist at the middle knuckle."""

_BEFORE = np.array([MIDDLE_MCP, *(0 if k % 4 == 1 else k - 1 for k in range(1, 21))])


def to_own_definition(pixels: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert keypoints from MediaPipe's definition to the bundled hand's.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels.
    shape : (21, 3) float64
        The same hand in any unit and with any origin, axes parallel to the camera frame.

    Returns
    -------
    pixels : (21, 2) float64
        Converted keypoints. A bone that points at the camera grows in depth only, not in the picture.
    shape : (21, 3) float64
        Converted shape.
    """
    return _moved(pixels, shape, pixels, shape, 1.0)


def from_own_definition(pixels: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert keypoints from the bundled hand's definition to MediaPipe's: the inverse of ``to_own_definition``.

    It is found by iteration and accurate to a hundredth of a palm length.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels.
    shape : (21, 3) float64
        The same hand in any unit and with any origin, axes parallel to the camera frame.

    Returns
    -------
    pixels : (21, 2) float64
        Converted keypoints.
    shape : (21, 3) float64
        Converted shape.
    """
    read = pixels, shape
    for _ in range(4):
        read = _moved(pixels, shape, *read, -1.0)
    return read


def _moved(
    pixels: np.ndarray, shape: np.ndarray, bones_px: np.ndarray, bones_of: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray]:
    """Move keypoints along the bones of the hand with keypoints ``bones_px`` and shape ``bones_of``."""
    palm = float(np.linalg.norm(bones_of[MIDDLE_MCP] - bones_of[WRIST]))
    bones = bones_of - bones_of[_BEFORE]
    lengths = np.linalg.norm(bones, axis=1, keepdims=True)
    move = sign * ALONG[:, None] * palm * bones / np.maximum(lengths, 1e-9)
    flat = bones_of[:, :2] - bones_of[:, :2].mean(axis=0)
    seen = bones_px - bones_px.mean(axis=0)
    # Pixels per unit of the shape: the ratio of the extents in the picture and in the shape.
    scale = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9)
    return pixels + scale * move[:, :2], shape + move
