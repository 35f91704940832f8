"""Where MediaPipe sets a keypoint and where the bundled hand has the joint: brought from the one to the other.

MediaPipe's networks were taught by people who clicked on photos; the joints of the hand that all our networks were
trained on are those of its rig. On rendered hands, whose joints are known, the landmark network sets knuckles a tenth
of a palm nearer the wrist and fingertips a tenth of a palm short of the tip. Left as it is that makes fingers short.
"""

from __future__ import annotations

import numpy as np

from im2hands.core.hands import MIDDLE_MCP, WRIST

SOURCES = frozenset({"mediapipe", "crop_search", "tracking", "boxes", "palm_seed"})
"""Sources of detections whose keypoints are MediaPipe's."""

# Each keypoint's way along its own bone (from the joint before it; the wrist: from the middle knuckle), palm lengths.
# Medians over 261 rendered hands that can be seen well, of bones seen lengthwise: `benchmarks/joint_definitions.py`.
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
"""(21,) palm lengths, file order."""

_BEFORE = np.array([MIDDLE_MCP, *(0 if k % 4 == 1 else k - 1 for k in range(1, 21))])


def to_own_definition(pixels: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints as MediaPipe defines them to those of the bundled hand.

    Args:
        pixels: (21, 2) pixels. shape: (21, 3) the same hand, any unit and origin, axes parallel to the camera frame.

    Returns:
        Both moved alike: a bone that points at the camera grows in depth and not in the picture.
    """
    return _moved(pixels, shape, pixels, shape, 1.0)


def from_own_definition(pixels: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`to_own_definition` brings to these keypoints, to a hundredth of a palm."""
    read = pixels, shape
    for _ in range(4):
        read = _moved(pixels, shape, *read, -1.0)
    return read


def _moved(
    pixels: np.ndarray, shape: np.ndarray, bones_px: np.ndarray, bones_of: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints moved along the bones of a hand that is seen at ``bones_px`` and has the shape ``bones_of``."""
    palm = float(np.linalg.norm(bones_of[MIDDLE_MCP] - bones_of[WRIST]))
    bones = bones_of - bones_of[_BEFORE]
    lengths = np.linalg.norm(bones, axis=1, keepdims=True)
    move = sign * ALONG[:, None] * palm * bones / np.maximum(lengths, 1e-9)
    flat = bones_of[:, :2] - bones_of[:, :2].mean(axis=0)
    seen = bones_px - bones_px.mean(axis=0)
    # Pixels a unit of the shape: as the seen extent is to the shape's.
    scale = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9)
    return pixels + scale * move[:, :2], shape + move
