"""Converts keypoints between other definitions of the joints and the bundled hand's.

MediaPipe's networks were trained on photos annotated by people. All our networks were trained on the joints of the
bundled hand's rig. On rendered hands, whose joints are known, MediaPipe's landmark network places knuckles a tenth of a
palm length nearer to the wrist, fingertips a tenth of a palm length short of the tip, and the fingers' joints nearer to
the palm's side: in the middle of the flesh, where the rig's joints lie nearer to the back. Without the conversion
fingers become too short and the mesh lies beside the photographed fingers.

Our reading network was taught targets that differ from the rig's joints along the bones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from im2hands.core.hands import KEYPOINT_COUNT, MIDDLE_MCP, WRIST, Side
from im2hands.keypoints.hypothesis import READ, READING

from .kinematics import FLEXION, REST, canonical_rotation

# Medians over 261 clearly visible rendered hands, of bones viewed from the side. The bundled reading network was taught
# these values, so they stay until it is trained anew.
_TAUGHT = -np.array(
    [
        0.051,
        *(-0.012, 0.048, -0.030, -0.103),
        *(-0.107, -0.016, -0.008, -0.124),
        *(-0.083, -0.025, -0.033, -0.103),
        *(-0.078, -0.018, -0.012, -0.112),
        *(-0.099, -0.023, -0.001, -0.084),
    ]
)

# 458 clearly visible rendered hands seen from all sides: `benchmarks/joint_definitions.py`.
_MEDIAPIPE = -np.array(
    [
        (0.074, -0.004, 0.001),
        *((-0.022, 0.147, 0.065), (0.051, -0.047, -0.008), (-0.040, -0.051, 0.026), (-0.112, -0.011, 0.026)),
        *((-0.122, -0.002, -0.003), (-0.013, -0.039, -0.021), (-0.019, -0.023, -0.003), (-0.126, 0.007, 0.007)),
        *((-0.089, -0.009, 0.013), (-0.015, -0.045, 0.011), (-0.034, -0.041, 0.013), (-0.104, -0.032, 0.020)),
        *((-0.082, -0.012, -0.004), (-0.003, -0.051, 0.015), (0.003, -0.040, 0.008), (-0.096, -0.023, 0.007)),
        *((-0.095, -0.005, -0.001), (-0.011, -0.027, 0.006), (0.002, -0.009, 0.003), (-0.077, 0.000, 0.000)),
    ]
)

_READING = np.stack([_TAUGHT, np.zeros(KEYPOINT_COUNT), np.zeros(KEYPOINT_COUNT)], axis=-1)

OFFSETS: Mapping[str, np.ndarray] = MappingProxyType({"mediapipe": _MEDIAPIPE, READ: _MEDIAPIPE, READING: _READING})
"""By source of a detection, (21, 3): shift of each keypoint to the bundled hand's joint, palm lengths, file order:
along its bone, towards the back of the hand, towards the thumb; see ``joint_axes``. Other sources follow the bundled
hand's definition."""

_BEFORE = np.array([MIDDLE_MCP, *(0 if k % 4 == 1 else k - 1 for k in range(1, 21))])
_SMALLEST = 1e-9
# Rounds of the inverse, and the share of each step that is taken: whole steps of short bones swing from side to side.
_ROUNDS, _STEP = 6, 0.7


def to_own_definition(
    pixels: np.ndarray, shape: np.ndarray, side: Side, source: str
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Convert keypoints from the definition of a source to the bundled hand's.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels.
    shape : (21, 3) float64
        The same hand in any unit and with any origin, axes parallel to the camera frame.
    side : Side
        The person's own left or right hand.
    source : str
        Source of the keypoints.

    Returns
    -------
    pixels : (21, 2) float64
        Converted keypoints; unchanged if the source follows the bundled hand's definition. A shift towards the camera
        changes the shape only, not the picture.
    shape : (21, 3) float64
        Converted shape.
    """
    if source not in OFFSETS:
        return pixels, shape
    return _moved(pixels, shape, pixels, shape, side, OFFSETS[source])


def from_own_definition(
    pixels: np.ndarray, shape: np.ndarray, side: Side, source: str
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Convert keypoints from the bundled hand's definition to that of a source: the inverse of ``to_own_definition``.

    It is found by iteration and accurate to a hundredth of a palm length.

    Parameters
    ----------
    pixels : (21, 2) float64
        Keypoints, pixels.
    shape : (21, 3) float64
        The same hand in any unit and with any origin, axes parallel to the camera frame.
    side : Side
        The person's own left or right hand.
    source : str
        Source whose definition the result follows.

    Returns
    -------
    pixels : (21, 2) float64
        Converted keypoints.
    shape : (21, 3) float64
        Converted shape.
    """
    read = pixels, shape
    if source not in OFFSETS:
        return read
    for _ in range(_ROUNDS):
        moved = _moved(pixels, shape, *read, side, -OFFSETS[source])
        read = read[0] + _STEP * (moved[0] - read[0]), read[1] + _STEP * (moved[1] - read[1])
    return read


def joint_axes(shape: np.ndarray, side: Side) -> np.ndarray:
    """Return the three directions in which the definitions of a joint differ.

    Parameters
    ----------
    shape : (21, 3) float64
        A hand, any unit and origin.
    side : Side
        The person's own left or right hand.

    Returns
    -------
    (21, 3, 3) float64
        For each keypoint three unit vectors in rows. First along its bone, away from the joint before (for the wrist:
        from the middle knuckle). Then towards the back of the hand or finger, where a bent finger's back is outside the
        bend. Then sideways along the joint's axis of flexion, towards the thumb's side. Zeros if the palm or the bone
        has no extent.
    """
    mirror = np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    right = shape * mirror
    if np.linalg.norm(np.cross(right[MIDDLE_MCP] - right[WRIST], right[5] - right[17])) < _SMALLEST**2:
        return np.zeros((KEYPOINT_COUNT, 3, 3))
    turn = canonical_rotation(right)
    canonical = right @ turn
    along = canonical - canonical[_BEFORE]
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), _SMALLEST)
    flexion = np.empty((KEYPOINT_COUNT, 3))
    flexion[WRIST] = (0.0, 0.0, 1.0)
    flexion[1:] = FLEXION[:, [0, 0, 1, 2]].reshape(-1, 3)
    # The thumb's axes turn with its metacarpal, the fingers' keep to the palm.
    flexion[2:5] = flexion[2:5] @ _least_turn(REST[2] - REST[1], canonical[2] - canonical[1]).T
    sideways = flexion - (flexion * along).sum(axis=1, keepdims=True) * along
    sideways = sideways / np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), _SMALLEST)
    back = np.cross(along, sideways)
    back[WRIST] *= -1  # the wrist's bone leads down the arm, the others lead up the fingers
    axes: np.ndarray = np.stack([along, back, sideways], axis=1) @ turn.T * mirror
    return axes


def _least_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the smallest rotation (3, 3) that turns direction ``a`` into direction ``b``."""
    a, b = (v / max(float(np.linalg.norm(v)), _SMALLEST) for v in (a, b))
    x, y, z = np.cross(a, b)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + cross + cross @ cross / max(1.0 + float(a @ b), _SMALLEST)


def _moved(
    pixels: np.ndarray, shape: np.ndarray, axes_px: np.ndarray, axes_of: np.ndarray, side: Side, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move keypoints along the axes of the hand with keypoints ``axes_px`` and shape ``axes_of``."""
    palm = float(np.linalg.norm(axes_of[MIDDLE_MCP] - axes_of[WRIST]))
    move = palm * (offsets[:, :, None] * joint_axes(axes_of, side)).sum(axis=1)
    flat = axes_of[:, :2] - axes_of[:, :2].mean(axis=0)
    seen = axes_px - axes_px.mean(axis=0)
    # Pixels per unit of the shape: the ratio of the extents in the picture and in the shape.
    scale = float(np.linalg.norm(seen)) / max(float(np.linalg.norm(flat)), _SMALLEST)
    return pixels + scale * move[:, :2], shape + move
