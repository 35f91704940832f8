"""Where MediaPipe sets a keypoint and where the bundled hand has the joint: brought from the one to the other.

MediaPipe's networks were taught by people who clicked on photos; the joints of the hand that all our networks were
trained on are those of its rig. On rendered hands, whose joints are known, the landmark network sets knuckles a tenth
of a palm nearer the wrist and fingertips a tenth of a palm short of the tip. Left as it is that makes fingers short.
"""

from __future__ import annotations

import numpy as np

from ..hands import MIDDLE_MCP, WRIST

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
    palm = float(np.linalg.norm(shape[MIDDLE_MCP] - shape[WRIST]))
    bones = shape - shape[_BEFORE]
    lengths = np.linalg.norm(bones, axis=1, keepdims=True)
    move = ALONG[:, None] * palm * bones / np.maximum(lengths, 1e-9)
    flat = shape[:, :2] - shape[:, :2].mean(axis=0)
    seen = pixels - pixels.mean(axis=0)
    # Pixels a unit of the shape: as the seen extent is to the shape's.
    scale = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), 1e-9)
    return pixels + scale * move[:, :2], shape + move
