"""The kinematic hand: proportions, joint axes and joint limits of a right hand at rest; `chain` poses it.

Proportions and joint axes are those of the bundled synthetic hand at rest; a test compares them with it. They are in
palm lengths (wrist to middle MCP), in the hand's canonical frame: middle metacarpal along -x, back of the hand along
+y. The part network was trained on hands of this kind, so keypoints of this chain are within its training distribution.
"""

from __future__ import annotations

import numpy as np

_KEYPOINTS = (
    (0.0000, 0.0000, 0.0000),
    (-0.2581, -0.0007, 0.2809),
    (-0.3914, -0.1972, 0.5371),
    (-0.6959, -0.3692, 0.7916),
    (-0.9814, -0.5266, 0.9268),
    (-1.0103, 0.0000, 0.3003),
    (-1.3113, -0.0707, 0.3562),
    (-1.5594, -0.1927, 0.3999),
    (-1.8230, -0.3579, 0.4505),
    (-1.0000, 0.0000, 0.0000),
    (-1.3732, -0.1261, -0.0323),
    (-1.6720, -0.2634, -0.0348),
    (-1.9482, -0.3949, -0.0409),
    (-0.9328, -0.0294, -0.2205),
    (-1.2578, -0.1390, -0.3097),
    (-1.5091, -0.2625, -0.3531),
    (-1.7849, -0.4051, -0.4166),
    (-0.8247, -0.1132, -0.4207),
    (-1.0433, -0.2160, -0.5074),
    (-1.1912, -0.3175, -0.5527),
    (-1.3836, -0.4401, -0.6184),
)
_FLEXION = (
    ((0.1732, -0.8229, -0.5411), (0.1256, -0.8852, -0.4480), (0.2255, -0.8372, -0.4982)),
    ((0.1714, 0.0485, 0.9840), (0.1332, 0.0827, 0.9876), (0.1261, 0.1009, 0.9869)),
    ((-0.1090, 0.0686, 0.9917), (-0.0538, 0.0991, 0.9936), (-0.0670, 0.0942, 0.9933)),
    ((-0.3347, 0.2544, 0.9073), (-0.2956, 0.2809, 0.9131), (-0.3415, 0.2578, 0.9038)),
    ((-0.4782, 0.3310, 0.8135), (-0.4744, 0.3266, 0.8175), (-0.4833, 0.3226, 0.8139)),
)
_SPREADING = (
    (0.9079, -0.0795, 0.4116),
    (-0.2300, 0.9732, -0.0079),
    (-0.3108, 0.9453, -0.0995),
    (-0.2167, 0.9163, -0.3368),
    (-0.2141, 0.8544, -0.4734),
)

REST = np.array(_KEYPOINTS)
"""(21, 3) keypoints at rest, palm lengths."""
FLEXION = np.array(_FLEXION)
"""(5, 3, 3) flexion axis of each finger joint; a positive angle closes the hand."""
SPREADING = np.array(_SPREADING)
"""(5, 3) second axis of each finger's first joint; a positive angle moves the finger away from the little finger."""

# Lowest, highest and usual angle from rest, degrees: flexion of the first, second and third joint, then the sideways
# angle of the first. First the thumb, then the four fingers.
_LIMITS = (
    ((-45.0, 65.0, 5.0), (-40.0, 65.0, 5.0), (-30.0, 85.0, 10.0), (-45.0, 45.0, 0.0)),
    *(((-35.0, 92.0, 15.0), (-12.0, 105.0, 25.0), (-12.0, 80.0, 12.0), (-20.0, 20.0, 0.0)),) * 4,
)
ANGLE_LIMITS = np.radians(np.array(_LIMITS))
"""(5, 4, 3) lowest, highest and usual angle of each joint, radians."""

# Bone lengths of real hands in palm lengths, first to last phalanx of each finger: measured with MediaPipe, converted
# to this hand's joints.
_REAL_LENGTHS = np.array(
    [(0.30, 0.44, 0.40), (0.27, 0.24, 0.41), (0.35, 0.30, 0.37), (0.32, 0.26, 0.37), (0.24, 0.22, 0.29)]
)

ANGLES = 20
POSE = 6 + ANGLES
"""Parameters of a pose: rotation vector (3, camera axes, radians), translation (3, metres), angles (20, radians)."""
LENGTHS = 15
SHAPE = LENGTHS + 3
"""Parameters of a shape, all natural logarithms of factors: bone lengths (15), width of the palm, size of the whole
hand, thickness across the bones: of the flesh that two hands keep out of each other, as keypoints do not show it."""
PARAMETERS = POSE + SHAPE
WIDTH, SIZE, THICKNESS = LENGTHS, LENGTHS + 1, LENGTHS + 2


def _usual_stretch() -> np.ndarray:
    """Return half of the logarithm of the ratio of real to synthetic bone lengths, (5, 3)."""
    chain = REST[1:].reshape(5, 4, 3)
    own = np.linalg.norm(np.diff(chain, axis=1), axis=-1)
    return 0.5 * np.log(_REAL_LENGTHS / own)


USUAL_STRETCH = _usual_stretch()
"""(5, 3) natural logarithms of bone length factors: halfway from the synthetic hand to real hands."""


def canonical_rotation(keypoints: np.ndarray) -> np.ndarray:
    """Return the rotation from the canonical frame to the frame of a right hand.

    Parameters
    ----------
    keypoints : (21, 3) float64
        Keypoints of a right hand, any unit.

    Returns
    -------
    (3, 3) float64
        The rotation.
    """
    return _frame(keypoints) @ _frame(REST).T


def _frame(keypoints: np.ndarray) -> np.ndarray:
    """Return a hand's axes as columns: towards the middle MCP, out of the back of the hand, across the palm."""
    along = keypoints[9] - keypoints[0]
    across = keypoints[5] - keypoints[17]
    along = along / np.linalg.norm(along)
    normal = np.cross(along, across)
    normal = normal / np.linalg.norm(normal)
    return np.stack([along, normal, np.cross(along, normal)], axis=-1)
