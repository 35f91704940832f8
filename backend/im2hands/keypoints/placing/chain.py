"""Right hands as kinematic chains: from joint angles and shape to keypoints and other points that the bones carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from .kinematics import FLEXION, LENGTHS, PARAMETERS, POSE, REST, SIZE, SPREADING, THICKNESS, WIDTH


@dataclass(frozen=True)
class Points:
    """Points that the bones of a hand carry: E points, each on one bone.

    A point lies at the bone's head plus ``fixed``, ``along`` scaled with the bone's length, ``across`` with the hand's
    thickness and ``side`` with the palm's width; all in palm lengths, canonical frame, at rest.

    Parameters
    ----------
    bone : (E,) int64
        The bone: 0 the palm, whose head is the wrist, then 1 + 3 f + k for phalanx k of finger f.
    fixed, along, across, side : (E, 3) float64
        Parts of the way from the bone's head to the point.
    """

    bone: np.ndarray
    fixed: np.ndarray
    along: np.ndarray
    across: np.ndarray
    side: np.ndarray

    @classmethod
    def of_flesh(cls, places: np.ndarray, bone: np.ndarray) -> Points:
        """Attach points of the flesh to bones.

        Parameters
        ----------
        places : (E, 3) float64
            The points at rest, palm lengths, canonical frame.
        bone : (E,) int64
            Their bones.

        Returns
        -------
        Points
            The points.
        """
        palm = (bone == 0)[:, None]
        way = places - _HEADS[bone]
        along = np.where(palm, 0.0, (way * _DIRECTIONS[bone]).sum(axis=1, keepdims=True) * _DIRECTIONS[bone])
        across = np.where(palm, way * (0.0, 1.0, 0.0), way - along)
        none = np.zeros_like(way)
        return cls(bone, np.where(palm, way * (1.0, 0.0, 0.0), none), along, across, np.where(palm, way * _Z, none))

    def rows(self, chosen: np.ndarray) -> Points:
        """Return some of the points, by number or mask."""
        return Points(*(getattr(self, part.name)[chosen] for part in fields(self)))


_Z = np.array([0.0, 0.0, 1.0])
_ROOTS = np.array([1, 5, 9, 13, 17])
_CHAIN = REST[1:].reshape(5, 4, 3)
_BONES = np.diff(_CHAIN, axis=1)
_HEADS = np.concatenate([REST[:1], _CHAIN[:, :3].reshape(15, 3)])
_DIRECTIONS = np.concatenate(
    [np.zeros((1, 3)), (_BONES / np.linalg.norm(_BONES, axis=-1, keepdims=True)).reshape(15, 3)]
)


def _joints() -> Points:
    """Return the 21 keypoints as points: wrist and roots of the fingers on the palm, the others at the bones' ends."""
    bone, parts = np.zeros(21, dtype=np.int64), np.zeros((3, 21, 3))
    parts[0, _ROOTS], parts[2, _ROOTS] = REST[_ROOTS] * (1.0, 1.0, 0.0), REST[_ROOTS] * _Z
    for finger in range(5):
        rows = np.arange(3) + 2 + 4 * finger
        bone[rows], parts[1, rows] = np.arange(3) + 1 + 3 * finger, _BONES[finger]
    return Points(bone, parts[0], parts[1], np.zeros((21, 3)), parts[2])


KEYPOINTS = _joints()
"""The 21 keypoints in file order, as points on the bones."""


def cross_matrix(axis: np.ndarray) -> np.ndarray:
    """Return the matrices (..., 3, 3) of the cross product with axes (..., 3)."""
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*axis.shape, 3)


_FLEXION_CROSS, _SPREADING_CROSS = cross_matrix(FLEXION), cross_matrix(SPREADING)
_EYE = np.eye(3)


@dataclass
class Hands:
    """Poses and shapes of N right hands; left hands are described by their mirror images.

    Parameters
    ----------
    rotation : (N, 3, 3) float64
        Rotations from the canonical frame to the camera frame.
    translation : (N, 3) float64
        The wrists, metres, camera frame.
    angles : (N, 5, 4) float64
        Per finger, radians: flexion of the first, second and third joint, sideways angle of the first.
    palm : (N,) float64
        Usual distances from wrist to middle MCP, metres; the shapes' sizes are relative to it.
    shape : (N, 18) float64
        The shapes, see ``SHAPE``.
    """

    rotation: np.ndarray
    translation: np.ndarray
    angles: np.ndarray
    palm: np.ndarray
    shape: np.ndarray

    def __len__(self) -> int:
        """Return N."""
        return len(self.palm)

    def rows(self, chosen: np.ndarray) -> Hands:
        """Return some of the hands, by number or mask."""
        return Hands(*(getattr(self, part.name)[chosen] for part in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Hands]) -> Hands:
        """Return the hands of several batches as one."""
        return cls(*(np.concatenate([getattr(hands, part.name) for hands in parts]) for part in fields(cls)))

    def replaced(self, chosen: np.ndarray, hands: Hands) -> Hands:
        """Return the hands with those at ``chosen`` (numbers or mask) replaced by ``hands``."""
        made = []
        for part in fields(self):
            values = getattr(self, part.name).copy()
            values[chosen] = getattr(hands, part.name)
            made.append(values)
        return Hands(*made)

    def keypoints(self) -> np.ndarray:
        """Return the keypoints (N, 21, 3) in metres, camera frame, file order."""
        return Chain(self).points(KEYPOINTS) + self.translation[:, None]

    def moved(self, step: np.ndarray) -> Hands:
        """Return the hands after a step.

        Parameters
        ----------
        step : (N, 44) float64
            Pose (see ``POSE``), then shape (see ``SHAPE``).

        Returns
        -------
        Hands
            The moved hands.
        """
        angle = np.linalg.norm(step[:, :3], axis=1)
        turn = _turns(angle, cross_matrix(step[:, :3] / np.maximum(angle, 1e-12)[:, None]))
        return Hands(
            turn @ self.rotation, self.translation + step[:, 3:6],
            self.angles + step[:, 6:POSE].reshape(-1, 5, 4), self.palm, self.shape + step[:, POSE:],
        )  # fmt: skip


class Chain:
    """The bones of N hands relative to their wrists, and the points they carry.

    Parameters
    ----------
    hands : Hands
        The hands.
    """

    def __init__(self, hands: Hands) -> None:
        count = len(hands)
        self._stretch = np.exp(hands.shape[:, :LENGTHS])
        self._width, self._size, self._thickness = np.exp(hands.shape[:, LENGTHS:]).T
        self._scale = scale = (hands.palm * self._size)[:, None, None]
        palm = hands.rotation
        self._root_side = scale * self._width[:, None, None] * (REST[_ROOTS] * _Z) @ palm.swapaxes(1, 2)
        roots = scale * (REST[_ROOTS] * (1.0, 1.0, 0.0)) @ palm.swapaxes(1, 2) + self._root_side
        flexed = _turns(hands.angles[..., :3], _FLEXION_CROSS)
        spread = _turns(hands.angles[..., 3], _SPREADING_CROSS)
        first = palm[:, None] @ flexed[:, :, 0]
        turns = [first @ spread]
        axes = [FLEXION[:, 0] @ palm.swapaxes(1, 2)]
        for k in (1, 2):
            axes.append((turns[-1] @ FLEXION[:, k, :, None])[..., 0])
            turns.append(turns[-1] @ flexed[:, :, k])
        axes.append((first @ SPREADING[..., None])[..., 0])
        heads = [roots]
        stretch = self._stretch.reshape(count, 5, 3)
        bones = [scale * stretch[:, :, k, None] * (turns[k] @ _BONES[:, k, :, None])[..., 0] for k in range(3)]
        for k in range(2):
            heads.append(heads[-1] + bones[k])
        self._bones = np.stack(bones, axis=2)  # (N, 5, 3, 3): finger, phalanx
        self._axes = np.stack(axes, axis=2)  # (N, 5, 4, 3): finger; flexions, then sideways
        self._origins = np.stack([heads[0], heads[1], heads[2], heads[0]], axis=2)
        shape = count, 15, 3
        self._turns = np.concatenate([palm[:, None], np.stack(turns, axis=2).reshape(*shape, 3)], axis=1)
        self._heads = np.concatenate([np.zeros((count, 1, 3)), np.stack(heads, axis=2).reshape(shape)], axis=1)

    def _parts(self, points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the turned parts of the points' ways from their bones' heads, each (N, E, 3), metres."""
        bone = points.bone
        turn = self._turns[:, bone]
        stretch = np.concatenate([np.ones((len(turn), 1)), self._stretch], axis=1)[:, bone]
        local = np.stack([points.fixed, points.along, points.across, points.side], axis=-1)
        turned = self._scale[..., None] * (turn @ local)
        fixed, along, across, side = np.moveaxis(turned, -1, 0)
        thick, wide = self._thickness[:, None, None], self._width[:, None, None]
        return fixed, stretch[..., None] * along, thick * across, wide * side

    def points(self, points: Points) -> np.ndarray:
        """Return points (N, E, 3) relative to the wrists, metres, camera axes."""
        made: np.ndarray = self._heads[:, points.bone] + sum(self._parts(points))
        return made

    def points_and_jacobian(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Return points and their derivative by the parameters of ``Hands.moved``.

        Parameters
        ----------
        points : Points
            E points on the bones.

        Returns
        -------
        places : (N, E, 3) float64
            Their places relative to the wrists, metres, camera axes.
        jacobian : (N, E, 3, 44) float64
            Derivatives of the places in the camera frame, that is with the translation of the wrist.
        """
        bone = points.bone
        fixed, along, across, side = self._parts(points)
        places = self._heads[:, bone] + fixed + along + across + side
        jacobian = np.zeros((*places.shape, PARAMETERS))
        jacobian[..., :3] = -cross_matrix(places)
        jacobian[..., 3:6] = _EYE
        rows = np.flatnonzero(bone > 0)
        finger, phalanx = np.divmod(bone[rows] - 1, 3)
        moved = phalanx[:, None] >= (0, 1, 2, 0)
        arms = places[:, rows, None] - self._origins[:, finger]
        swept = np.where(moved[..., None], np.cross(self._axes[:, finger], arms), 0.0)
        longer = np.where((phalanx[:, None] > np.arange(3))[..., None], self._bones[:, finger], 0.0)
        longer[:, np.arange(len(rows)), phalanx] += along[:, rows]
        for k in range(4):
            jacobian[:, rows, :, 6 + 4 * finger + k] = swept[:, :, k].swapaxes(0, 1)
        for k in range(3):
            jacobian[:, rows, :, POSE + 3 * finger + k] = longer[:, :, k].swapaxes(0, 1)
        wider = side.copy()
        wider[:, rows] += self._root_side[:, finger]
        jacobian[..., POSE + WIDTH], jacobian[..., POSE + SIZE], jacobian[..., POSE + THICKNESS] = wider, places, across
        return places, jacobian


def _turns(angle: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Return rotations (..., 3, 3) by angles (...) in radians about unit axes, given as matrices of cross products."""
    angle = angle[..., None, None]
    made: np.ndarray = _EYE + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return made
