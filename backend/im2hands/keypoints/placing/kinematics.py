"""A right hand as a kinematic chain: from joint angles and bone lengths to 21 keypoints.

Proportions and joint axes are those of the bundled synthetic hand at rest; a test compares them with it. They are in
palm lengths (wrist to middle MCP), in the hand's canonical frame: middle metacarpal along -x, back of the hand along
+y. The part network was trained on hands of this kind, so keypoints of this chain are within its training distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

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
LENGTHS = 15
PARAMETERS = 6 + ANGLES + LENGTHS + 1


def _usual_stretch() -> np.ndarray:
    """Return half of the logarithm of the ratio of real to synthetic bone lengths, (5, 3)."""
    chain = REST[1:].reshape(5, 4, 3)
    own = np.linalg.norm(np.diff(chain, axis=1), axis=-1)
    return 0.5 * np.log(_REAL_LENGTHS / own)


USUAL_STRETCH = _usual_stretch()
"""(5, 3) natural logarithms of bone length factors: halfway from the synthetic hand to real hands."""


@dataclass
class HandPose:
    """Pose of a right hand: place, joint angles and bone lengths.

    Parameters
    ----------
    rotation : (3, 3) float64
        Rotation from the canonical frame to the camera frame.
    translation : (3,) float64
        The wrist, metres, camera frame.
    palm : float
        Distance from wrist to middle MCP, metres.
    angles : (5, 4) float64
        Per finger, radians: flexion of the first, second and third joint, sideways angle of the first.
    stretch : (5, 3) float64
        Natural logarithms of bone length factors.
    width : float
        Natural logarithm of the palm's width factor.
    """

    rotation: np.ndarray
    translation: np.ndarray
    palm: float
    angles: np.ndarray
    stretch: np.ndarray
    width: float = 0.0

    def keypoints(self) -> np.ndarray:
        """Return the keypoints (21, 3) in metres, camera frame, file order."""
        return self.keypoints_and_jacobian()[0]

    def keypoints_and_jacobian(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the keypoints and their derivative.

        Returns
        -------
        points : (21, 3) float64
            Keypoints in metres, camera frame, file order.
        jacobian : (21, 3, 42) float64
            Their derivative by the parameters of ``moved``.
        """
        jacobian = np.zeros((21, 3, PARAMETERS))
        local = REST * (1.0, 1.0, np.exp(self.width))
        points = np.empty((21, 3))
        points[0] = 0.0
        turn, scale = self.rotation, self.palm
        column_angle, column_length = 6, 6 + ANGLES
        for finger in range(5):
            first = 1 + 4 * finger
            rows = np.arange(first, first + 4)
            points[first] = scale * (turn @ local[first])
            flexion, sideways = self.angles[finger, :3], self.angles[finger, 3]
            # The sideways rotation is applied to the finger first, then flexion: the flexion axis is fixed to the palm.
            joint_turn = turn @ _rodrigues(flexion[0], FLEXION[finger, 0])
            axes = [turn @ FLEXION[finger, 0], joint_turn @ SPREADING[finger]]
            joint_turn = joint_turn @ _rodrigues(sideways, SPREADING[finger])
            origins = [points[first], points[first]]
            for k in range(3):
                if k:
                    axes.append(joint_turn @ FLEXION[finger, k])
                    origins.append(points[rows[k]].copy())
                    joint_turn = joint_turn @ _rodrigues(flexion[k], FLEXION[finger, k])
                rest = REST[rows[k + 1]] - REST[rows[k]]
                bone = scale * np.exp(self.stretch[finger, k]) * (joint_turn @ rest)
                points[rows[k + 1]] = points[rows[k]] + bone
                jacobian[rows[k + 1] : first + 4, :, column_length + 3 * finger + k] = bone
            # Axes: first flexion, sideways, second, third flexion. Columns: first, second, third flexion, sideways.
            for axis, origin, column, moved in zip(axes, origins, (0, 3, 1, 2), (1, 1, 2, 3), strict=True):
                arm = points[rows[moved:]] - origin
                jacobian[rows[moved:], :, column_angle + 4 * finger + column] = np.cross(axis, arm)
            widened = scale * local[first, 2] * turn[:, 2]
            jacobian[rows, :, -1] = widened
        # Rotation about the wrist in camera axes, then translation.
        x, y, z = points.T
        zero = np.zeros(21)
        jacobian[:, :, 0] = np.stack([zero, -z, y], axis=-1)
        jacobian[:, :, 1] = np.stack([z, zero, -x], axis=-1)
        jacobian[:, :, 2] = np.stack([-y, x, zero], axis=-1)
        jacobian[:, :, 3:6] = np.eye(3)
        return points + self.translation, jacobian

    def moved(self, step: np.ndarray) -> HandPose:
        """Return the pose after a step.

        Parameters
        ----------
        step : (42,) float64
            Rotation vector (3, camera axes, radians), translation (3, metres), angles (20, radians), stretch (15),
            width (1).

        Returns
        -------
        HandPose
            The new pose.
        """
        angle = float(np.linalg.norm(step[:3]))
        turn = _rodrigues(angle, step[:3] / angle) if angle > 1e-12 else np.eye(3)
        return HandPose(
            turn @ self.rotation,
            self.translation + step[3:6],
            self.palm,
            self.angles + step[6 : 6 + ANGLES].reshape(5, 4),
            self.stretch + step[6 + ANGLES : -1].reshape(5, 3),
            self.width + float(step[-1]),
        )


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


def _rodrigues(angle: float, axis: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) by an angle in radians about a unit axis (3,)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
