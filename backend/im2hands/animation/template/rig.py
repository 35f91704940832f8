"""The rig: keypoints to bone rotations, rotations to posed bones and skinned vertices, for N frames at once.

Right hands only (see ``template.rest``). The rotation of a bone is local: in its own rest axes and relative to its
parent, like Blender's pose bones. Vertices follow by linear blend skinning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from im2hands.geometry.hand_model import WRIST_SHIFT

from .rest import KEYPOINT_BONES, PALM_KEYPOINTS, PALM_TRUST, PARENTS, Rest, place, shortest_turn
from .topology import FINGER_CHAINS, HAND, PALM

# Largest sideways turn of the first, second and third joint of the thumb and of each finger, radians.
_SIDEWAYS = np.radians([[60.0, 25.0, 15.0], *[[40.0, 12.0, 10.0]] * 4])
_PALM_TURN = np.radians(12.0)  # largest turn of a metacarpal
# Flexion angles lie in the full turn that starts here; no joint bends back so far.
_FLEXION_START = np.radians(-120.0)
# The plane in which the next joint bends shows a finger's twist. It is trusted from about this bend on.
_TWIST_BEND = np.radians(25.0)
_LARGEST_TWIST = np.radians(20.0)
# A singular value of blended matrices below this is damped in the inverse of skinning.
_DAMPED_BELOW = 0.3


@dataclass(frozen=True)
class Pose:
    """Poses of a hand over N frames.

    Parameters
    ----------
    rotations : (N, 21, 3, 3) float
        Local rotations of the bones.
    root_rotation : (N, 3, 3) float
        Rotations from the rest frame to the camera frame.
    root : (N, 3) float
        Translations from the rest frame to the camera frame, metres.
    """

    rotations: np.ndarray
    root_rotation: np.ndarray
    root: np.ndarray


@dataclass(frozen=True)
class Posed:
    """Posed bones over N frames, camera frame.

    Parameters
    ----------
    turns : (N, 21, 3, 3) float
        Rotation of each bone from its rest pose.
    heads : (N, 21, 3) float
        Heads of the bones, metres.
    tails : (N, 21, 3) float
        Tails of the bones, metres.
    """

    turns: np.ndarray
    heads: np.ndarray
    tails: np.ndarray

    @property
    def keypoints(self) -> np.ndarray:
        """(N, 21, 3) keypoints in file order, camera frame, metres."""
        points = np.empty((len(self.heads), 21, 3))
        for bone, keypoint in KEYPOINT_BONES:
            points[:, keypoint], points[:, keypoint + 1] = self.heads[:, bone], self.tails[:, bone]
        wrist = self.heads[:, HAND]
        points[:, 0] = wrist + WRIST_SHIFT * (points[:, 9] - wrist)
        return points


def pose_from_keypoints(keypoints: np.ndarray, rest: Rest) -> Pose:
    """Inverse kinematics: the palm is placed by least squares, then each bone is aimed at the next keypoint.

    Joints flex freely and turn sideways within limits. The first joint of a finger twists as far as the bend of the
    next joint shows it. Bone lengths are those of the rest pose.

    Parameters
    ----------
    keypoints : (N, 21, 3) float
        Keypoints of right hands, camera frame, metres, finite.
    rest : Rest
        The hand at rest.

    Returns
    -------
    Pose
        The poses.
    """
    count = len(keypoints)
    palm = list(PALM_KEYPOINTS)
    root_rotation, root, _ = place(rest.keypoints[palm], keypoints[:, palm], PALM_TRUST)
    local = np.einsum("nji,nkj->nki", root_rotation, keypoints - root[:, None])  # rest frame
    rotations = np.tile(np.eye(3), (count, 21, 1, 1))
    turns = np.tile(np.eye(3), (count, 21, 1, 1))
    for k, bone in enumerate(PALM):
        way = local[:, 5 + 4 * k] - rest.heads[bone]
        rotations[:, bone] = _limited_turn(_directed(way, rest.axes[bone]), _PALM_TURN)
        turns[:, bone] = rest.axes[bone] @ rotations[:, bone] @ rest.axes[bone].T
    for finger, chain in enumerate(FINGER_CHAINS):
        parent = int(PARENTS[chain[0]])
        start = _carried(turns[:, parent], rest.heads[parent], rest.heads[parent], rest.heads[chain[0]])
        for k, bone in enumerate(chain):
            parent = int(PARENTS[bone])
            axes = turns[:, parent] @ rest.axes[bone]
            target = local[:, 1 + 4 * finger + k + 1]
            turn = _universal(_directed(target - start, axes), _SIDEWAYS[finger, k])
            if k == 0:
                after = local[:, 1 + 4 * finger + 2] - target
                between = rest.axes[bone].T @ rest.axes[chain[1]]
                turn = turn @ _twist(_directed(after, axes @ turn @ between))
            rotations[:, bone] = turn
            turns[:, bone] = axes @ turn @ rest.axes[bone].T
            start = _carried(turns[:, bone], start, rest.heads[bone], rest.tails[bone])
    return Pose(rotations, root_rotation, root)


def _carried(turn: np.ndarray, head: np.ndarray, rest_head: np.ndarray, rest_point: np.ndarray) -> np.ndarray:
    """Positions (N, 3) of a rest point that moves with a bone."""
    found: np.ndarray = head + np.einsum("nij,j->ni", turn, rest_point - rest_head)
    return found


def _directed(way: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Unit directions (N, 3) in axes (N, 3, 3) or (3, 3); +y where the direction has no length."""
    local = np.einsum("...ji,...j->...i", axes, way)
    length = np.linalg.norm(local, axis=-1, keepdims=True)
    return np.where(length > 1e-6, local / np.maximum(length, 1e-9), np.array([0.0, 1.0, 0.0]))


def _universal(direction: np.ndarray, sideways_limit: float) -> np.ndarray:
    """Rotations (N, 3, 3) from y to directions (N, 3): a limited sideways turn about z, then flexion about x."""
    flexion = np.arctan2(direction[:, 2], direction[:, 1])
    flexion = np.mod(flexion - _FLEXION_START, 2 * np.pi) + _FLEXION_START
    sideways = _soft(-np.arcsin(np.clip(direction[:, 0], -1, 1)), sideways_limit)
    return about(0, flexion) @ about(2, sideways)


def _soft(angle: np.ndarray, limit: float) -> np.ndarray:
    """The angle, limited smoothly."""
    return limit * np.tanh(angle / limit)


def _twist(direction: np.ndarray) -> np.ndarray:
    """Rotations (N, 3, 3) about y that bring the bend of the next bone (N, 3) into the plane perpendicular to x."""
    bend = np.maximum(direction[:, 2], 0.0)
    trust = bend**2 / (bend**2 + np.sin(_TWIST_BEND) ** 2)
    angle = np.arctan2(direction[:, 0], np.maximum(direction[:, 2], 1e-6))
    return about(1, _soft(trust * angle, _LARGEST_TWIST))


def _limited_turn(direction: np.ndarray, limit: float) -> np.ndarray:
    """The shortest rotations (N, 3, 3) from y to directions (N, 3), by a limited angle."""
    y = np.array([0.0, 1.0, 0.0])
    across = direction.copy()
    across[:, 1] = 0.0
    size = np.linalg.norm(across, axis=1)
    angle = _soft(np.arctan2(size, direction[:, 1]), limit)
    limited = across / np.maximum(size, 1e-12)[:, None] * np.sin(angle)[:, None]
    limited[:, 1] = np.cos(angle)
    return shortest_turn(np.broadcast_to(y, limited.shape), limited)


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations about a coordinate axis.

    Parameters
    ----------
    axis : int
        0, 1 or 2 for x, y or z.
    angle : (N,) float
        Angles, radians.

    Returns
    -------
    (N, 3, 3) float
        Rotations.
    """
    a, b = (axis + 1) % 3, (axis + 2) % 3
    found = np.zeros((len(angle), 3, 3))
    found[:, axis, axis] = 1.0
    found[:, a, a] = found[:, b, b] = np.cos(angle)
    found[:, b, a] = np.sin(angle)
    found[:, a, b] = -found[:, b, a]
    return found


def forward(pose: Pose, rest: Rest) -> Posed:
    """Forward kinematics: the bones of N poses.

    Parameters
    ----------
    pose : Pose
        The poses.
    rest : Rest
        The hand at rest.

    Returns
    -------
    Posed
        The bones, camera frame.
    """
    count = len(pose.root)
    turns, heads = np.empty((count, 21, 3, 3)), np.empty((count, 21, 3))
    for bone, parent in enumerate(PARENTS):
        own = rest.axes[bone] @ pose.rotations[:, bone] @ rest.axes[bone].T
        if parent < 0:
            turns[:, bone] = pose.root_rotation @ own
            heads[:, bone] = pose.root + np.einsum("nij,j->ni", pose.root_rotation, rest.heads[bone])
        else:
            turns[:, bone] = turns[:, parent] @ own
            heads[:, bone] = _carried(turns[:, parent], heads[:, parent], rest.heads[parent], rest.heads[bone])
    tails = heads + np.einsum("nbij,bj->nbi", turns, rest.tails - rest.heads)
    return Posed(turns, heads, tails)


def bone_matrices(posed: Posed, rest: Rest) -> np.ndarray:
    """Matrices for skinning.

    Parameters
    ----------
    posed : Posed
        Posed bones.
    rest : Rest
        The hand at rest.

    Returns
    -------
    (N, 21, 3, 4) float
        Rest frame to camera frame, metres.
    """
    shift = posed.heads - np.einsum("nbij,bj->nbi", posed.turns, rest.heads)
    return np.concatenate([posed.turns, shift[..., None]], axis=-1)


def stretched_matrices(posed: Posed, rest: Rest, keypoints: np.ndarray) -> np.ndarray:
    """Matrices for skinning that bring each finger bone from its keypoint to the next one.

    As ``bone_matrices``, but finger bones are moved to their keypoints and stretched by a factor of 0.6 to 1.6.

    Parameters
    ----------
    posed : Posed
        Posed bones.
    rest : Rest
        The hand at rest.
    keypoints : (N, 21, 3) float
        Keypoints, camera frame, metres.

    Returns
    -------
    (N, 21, 3, 4) float
        Rest frame to camera frame, metres.
    """
    matrices = bone_matrices(posed, rest)
    for bone, keypoint in KEYPOINT_BONES:
        length = np.linalg.norm(keypoints[:, keypoint + 1] - keypoints[:, keypoint], axis=1)
        factor = np.clip(length / rest.lengths[bone], 0.6, 1.6) - 1
        along = rest.axes[bone][:, 1]
        matrix = posed.turns[:, bone] @ (np.eye(3) + factor[:, None, None] * np.outer(along, along))
        matrices[:, bone, :, :3] = matrix
        matrices[:, bone, :, 3] = keypoints[:, keypoint] - np.einsum("nij,j->ni", matrix, rest.heads[bone])
    return matrices


def skin(weights: np.ndarray, matrices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Linear blend skinning of one frame.

    Parameters
    ----------
    weights : (T, 21) float
        Skin weights; rows sum to 1.
    matrices : (21, 3, 4) float
        Matrices of the bones, rest frame to camera frame.
    vertices : (T, 3) float
        Vertices, rest frame, metres.

    Returns
    -------
    (T, 3) float
        Vertices, camera frame, metres.
    """
    blended = (weights @ matrices.reshape(21, 12)).reshape(-1, 3, 4)
    found: np.ndarray = np.einsum("vij,vj->vi", blended[..., :3], vertices) + blended[..., 3]
    return found


def unskin(weights: np.ndarray, matrices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The inverse of ``skin``; damped where a sharp bend collapses the skin.

    Parameters
    ----------
    weights : (T, 21) float
        Skin weights; rows sum to 1.
    matrices : (21, 3, 4) float
        Matrices of the bones, rest frame to camera frame.
    vertices : (T, 3) float
        Vertices, camera frame, metres.

    Returns
    -------
    (T, 3) float
        Vertices, rest frame, metres.
    """
    blended = (weights @ matrices.reshape(21, 12)).reshape(-1, 3, 4)
    # Only vertices that need damping need a singular value decomposition.
    moved = vertices.T - blended[..., 3].T
    a, b, c = np.ascontiguousarray(blended[..., :3].transpose(2, 1, 0))  # columns of the turns, each (3, T)
    bc, ca, ab = _crossed(b, c), _crossed(c, a), _crossed(a, b)
    volume = (a * bc).sum(axis=0)
    inverse = np.stack([(row * moved).sum(axis=0) for row in (bc, ca, ab)])
    # |volume| / |cofactors| is 1 / |inverse| (Frobenius), which is no larger than the smallest singular value.
    size = np.sqrt(sum((row * row).sum(axis=0) for row in (bc, ca, ab)))
    damped = np.flatnonzero(np.abs(volume) < _DAMPED_BELOW * size)
    volume[damped] = 1.0
    found = (inverse / volume).T
    found[damped] = _damped_inverse(blended[damped, :, :3], moved.T[damped])
    return found


def _damped_inverse(turn: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Solve ``turn x = moved`` for (T, 3, 3) and (T, 3), with small singular values damped."""
    u, s, vt = np.linalg.svd(turn)
    damped = s / (s * s + 1e-3 * (s < _DAMPED_BELOW))
    found: np.ndarray = np.einsum("vji,vj->vi", vt, damped * np.einsum("vkj,vk->vj", u, moved))
    return found


def _crossed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of vectors (3, T)."""
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
