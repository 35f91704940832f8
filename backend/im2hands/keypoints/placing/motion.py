"""Motion of hands over a clip: small second differences by time stamps, and normal equations of many frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from .chain import Hands, cross_matrix
from .kinematics import ANGLES, PARAMETERS, POSE
from .sums import Sums

# Standard deviations of accelerations: of rotations and joint angles (radians / s²), of the wrist (metres / s²).
_TURNING, _MOVING, _BENDING = 6.0, 0.7, 8.0
_ACCELERATION = np.concatenate([np.full(3, _TURNING), np.full(3, _MOVING), np.full(ANGLES, _BENDING)])
LIVELY = (32.0, 8.0, 2.0)
"""Accelerations beyond this many deviations are gestures and leaps and count ever less: the loss is Cauchy's. The last
number counts; the first ones, in turn, keep noise of the start from being taken for gestures."""
_GROUPS = (slice(0, 3), slice(3, 6), *(slice(6 + 4 * finger, 10 + 4 * finger) for finger in range(5)))
"""Parameters that start and stop together: rotation, place, each finger."""

_HANDS = 2
_FRAME = _HANDS * POSE
"""Unknowns of a frame: the poses of both hands; their shapes are known."""
_COLUMNS = np.concatenate([np.arange(POSE), PARAMETERS + np.arange(POSE)])
_REACH = 2  # frames before and after a frame to which its motion ties it
_BAND = (_REACH + 1) * _FRAME - 1


@dataclass
class FramesSums:
    """Normal equations of one problem, the poses of both hands in F frames.

    Parameters
    ----------
    cost : (1,) float64
        The cost.
    gradient : (F, 52) float64
        Its gradient.
    blocks : list of (F - k, 52, 52) float64
        Blocks of the Gauss-Newton matrix between each frame and the k-th after it, for k from 0 to 2.
    """

    cost: np.ndarray
    gradient: np.ndarray
    blocks: list[np.ndarray]

    @classmethod
    def of_frames(cls, sums: Sums) -> FramesSums:
        """Return the equations of F frames without motion from their own, those of F pairs with shapes."""
        frames = len(sums.cost)
        own = sums.normal[:, _COLUMNS[:, None], _COLUMNS]
        later = [np.zeros((max(frames - k, 0), _FRAME, _FRAME)) for k in range(1, _REACH + 1)]
        return cls(sums.cost.sum(keepdims=True), sums.gradient[:, _COLUMNS], [own, *later])

    def rows(self, chosen: np.ndarray) -> FramesSums:
        """Return the equations themselves: there is one problem."""
        return self

    def put(self, rows: np.ndarray, others: FramesSums) -> None:
        """Replace the equations."""
        self.cost, self.gradient, self.blocks = others.cost, others.gradient, others.blocks

    def steps(self, damping: np.ndarray) -> np.ndarray:
        """Return the step (1, F x 88) of Levenberg and Marquardt; shapes do not move."""
        frames = len(self.gradient)
        bands = np.zeros((_BAND + 1, frames, _FRAME))
        for k, blocks in enumerate(self.blocks):
            first, second = np.triu_indices(_FRAME) if k == 0 else np.indices((_FRAME, _FRAME)).reshape(2, -1)
            bands[_BAND + first - second - k * _FRAME, k:, second] = blocks[:, first, second].T
        diagonal = bands[_BAND]
        diagonal += damping[0] * (diagonal + 1e-9)
        # An unknown that nothing is known of keeps its value.
        diagonal[diagonal <= 0] = 1.0
        found = solveh_banded(bands.reshape(_BAND + 1, -1), -self.gradient.ravel(), check_finite=False)
        made = np.zeros((frames, _HANDS * PARAMETERS))
        made[:, _COLUMNS] = found.reshape(frames, _FRAME)
        return made.reshape(1, -1)

    def add_motion(self, hands: Hands, times: np.ndarray, tied: np.ndarray, lively: float) -> None:
        """Add that hands accelerate little.

        Parameters
        ----------
        hands : Hands
            2 F hands: the left and the right hand of each frame.
        times : (F,) float64
            Times of the frames, seconds.
        tied : (F - 2, 2) bool
            Whether the motion of each hand goes on from each frame over the next to the one after it.
        lively : float
            Number of ``LIVELY``.
        """
        before, after = np.diff(times)[:-1, None], np.diff(times)[1:, None]
        mean = (before + after) / 2
        for hand in range(_HANDS):
            rows = np.flatnonzero(tied[:, hand])
            if not len(rows):
                continue
            residual, slopes = _accelerations(
                hands.rows(np.arange(hand, len(hands), _HANDS)), rows, before, after, mean
            )
            squares = np.stack([(residual[:, group] ** 2).mean(axis=1) for group in _GROUPS], axis=1)
            counts = np.array([group.stop - group.start for group in _GROUPS])
            self.cost += 0.5 * lively**2 * (counts * np.log1p(squares / lively**2)).sum()
            weight = np.empty_like(residual)
            for k, group in enumerate(_GROUPS):
                weight[:, group] = (1 / (1 + squares[:, k] / lively**2))[:, None]
            part = slice(hand * POSE, (hand + 1) * POSE)
            turned = [slope.swapaxes(1, 2) * weight[:, None] for slope in slopes]
            for i in range(_REACH + 1):
                self.gradient[rows + i, part] += (turned[i] @ residual[..., None])[..., 0]
                for j in range(i, _REACH + 1):
                    self.blocks[j - i][rows + i, part, part] += turned[i] @ slopes[j]


def _accelerations(
    hands: Hands, rows: np.ndarray, before: np.ndarray, after: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the accelerations (R, 26) from ``rows`` on in deviations, and their slopes by the three frames' poses."""
    before, after, mean = before[rows], after[rows], mean[rows]
    first = turn_between(hands.rotation[rows], hands.rotation[rows + 1])
    second = turn_between(hands.rotation[rows + 1], hands.rotation[rows + 2])
    pose = np.concatenate([hands.translation, hands.angles.reshape(-1, ANGLES)], axis=1)
    moved = (pose[rows + 2] - pose[rows + 1]) / after - (pose[rows + 1] - pose[rows]) / before
    residual = np.concatenate([second / after - first / before, moved], axis=1) / mean / _ACCELERATION
    slopes = []
    for factor in (1 / before, -1 / before - 1 / after, 1 / after):
        slope = np.zeros((len(rows), POSE, POSE))
        slope[:, np.arange(POSE), np.arange(POSE)] = factor / mean / _ACCELERATION
        slopes.append(slope)
    scale = (mean * _TURNING)[..., None]
    # By a turn of the later frame the rotation vector between two frames changes by the inverse left Jacobian, by one
    # of the earlier frame by the negative inverse right Jacobian, which is that of the negative vector.
    slopes[0][:, :3, :3] = _inverse_jacobian(-first) / before[..., None] / scale
    slopes[1][:, :3, :3] = (
        -_inverse_jacobian(first) / before[..., None] - _inverse_jacobian(-second) / after[..., None]
    ) / scale
    slopes[2][:, :3, :3] = _inverse_jacobian(second) / after[..., None] / scale
    return residual, slopes


def turn_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rotation vectors (N, 3) that turn the rotations ``first`` (N, 3, 3) into ``second``."""
    turn = second @ first.swapaxes(1, 2)
    axis = 0.5 * np.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1
    )
    sine = np.linalg.norm(axis, axis=1)
    angle = np.arctan2(sine, 0.5 * (np.trace(turn, axis1=1, axis2=2) - 1))
    made: np.ndarray = axis * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)[:, None]
    return made


def _inverse_jacobian(vector: np.ndarray) -> np.ndarray:
    """Return the inverse left Jacobians (N, 3, 3) of rotation vectors (N, 3)."""
    angle = np.linalg.norm(vector, axis=1)
    half = np.maximum(angle, 1e-4) / 2
    share = (1 - half / np.tan(half)) / (2 * half) ** 2
    cross = cross_matrix(vector)
    made: np.ndarray = np.eye(3) - cross / 2 + share[:, None, None] * (cross @ cross)
    return made
