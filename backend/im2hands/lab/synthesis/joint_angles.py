"""Joint angles of the synthetic hand within anatomical limits, and the rig's turns from them and back.

A hand has 25 angles: thumb, index, middle, ring and little finger each first, second and third joint's flexion and the
first joint's spreading; how far the palm is cupped; and the wrist's bend to the back or the palm, its side bend and the
forearm's twist. Positive flexion closes the hand, positive spreading leads away from the little finger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from im2hands.geometry.bones import rodrigues
from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE, HandModel

FINGER_ANGLES = 20
CUP, BEND, SIDE_BEND, TWIST = range(20, 24)
COUNT = 24

_FINGER = ((-30.0, 90.0), (-10.0, 105.0), (-10.0, 78.0), (-18.0, 18.0))
_THUMB = ((-30.0, 50.0), (-30.0, 55.0), (-25.0, 75.0), (-32.0, 32.0))
_DEGREES = (*_THUMB, *_FINGER, *_FINGER, *_FINGER, *_FINGER, (0.0, 10.0), (-60.0, 60.0), (-25.0, 25.0), (-35.0, 35.0))

LIMITS = torch.tensor(_DEGREES, dtype=torch.float64) * (math.pi / 180)
"""(24, 2) lowest and highest angle, radians."""

_FOREARM_TWIST_BONE = 1
_CUPPED = ((METACARPAL_BONES[3], 4, 1.0), (METACARPAL_BONES[2], 3, 0.5))


def finger_angle(finger: int, joint: int) -> int:
    """Index of a finger's angle: joint 0, 1, 2 flexion, 3 spreading."""
    return 4 * finger + joint


def wrist_axes(heads: Tensor) -> Tensor:
    """(B, 3, 3) rest-pose axes of the wrist's bend, side bend and the forearm's twist, from heads (B, 27, 3)."""
    across = _unit(heads[:, 7] - heads[:, 19])
    along = _unit(heads[:, 11] - heads[:, WRIST_BONE])
    return torch.stack([across, _unit(torch.linalg.cross(across, along)), along], dim=1)


def rotations_from_angles(model: HandModel, heads: Tensor, angles: Tensor) -> Tensor:
    """The rig's turns.

    Args:
        heads: (B, 27, 3) rest-pose heads and tips. angles: (B, 24) radians.

    Returns:
        (B, 22, 3, 3) for :meth:`HandModel.pose`.
    """
    flexion, spreading = model.flexion_axes(heads)
    turns: list[Tensor] = list(torch.eye(3, dtype=angles.dtype).repeat(len(angles), 22, 1, 1).unbind(1))
    for finger, bones in enumerate(FINGER_BONES):
        own = angles[:, 4 * finger : 4 * finger + 4]
        for joint, bone in enumerate(bones):
            turns[bone] = rodrigues(own[:, joint], flexion[:, finger, joint])
        turns[bones[0]] = turns[bones[0]] @ rodrigues(own[:, 3], spreading[:, finger])
    for bone, finger, share in _CUPPED:
        turns[bone] = rodrigues(share * angles[:, CUP], flexion[:, finger, 0])
    axes = wrist_axes(heads)
    turns[WRIST_BONE] = rodrigues(angles[:, BEND], axes[:, 0]) @ rodrigues(angles[:, SIDE_BEND], axes[:, 1])
    turns[_FOREARM_TWIST_BONE] = rodrigues(angles[:, TWIST], axes[:, 2])
    return torch.stack(turns, dim=1)


def angles_from_rotations(model: HandModel, heads: Tensor, rotations: Tensor) -> Tensor:
    """Angles (B, 24) radians of turns (B, 22, 3, 3) made by :func:`rotations_from_angles`."""
    flexion, spreading = model.flexion_axes(heads)
    angles = torch.zeros(len(rotations), COUNT, dtype=rotations.dtype)
    for finger, bones in enumerate(FINGER_BONES):
        first = rotations[:, bones[0]]
        angles[:, 4 * finger], angles[:, 4 * finger + 3] = _two_angles(
            first, flexion[:, finger, 0], spreading[:, finger]
        )
        for joint in (1, 2):
            angles[:, 4 * finger + joint] = _angle_about(rotations[:, bones[joint]], flexion[:, finger, joint])
    bone, finger, share = _CUPPED[0]
    angles[:, CUP] = _angle_about(rotations[:, bone], flexion[:, finger, 0]) / share
    axes = wrist_axes(heads)
    angles[:, BEND], angles[:, SIDE_BEND] = _two_angles(rotations[:, WRIST_BONE], axes[:, 0], axes[:, 1])
    angles[:, TWIST] = _angle_about(rotations[:, _FOREARM_TWIST_BONE], axes[:, 2])
    return angles


def _angle_about(turn: Tensor, axis: Tensor) -> Tensor:
    """Signed angle of a turn (B, 3, 3) about a known axis (B, 3)."""
    skew = torch.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], dim=-1
    )
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2((skew * axis).sum(-1), trace - 1)


def _two_angles(turn: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Angles of ``turn`` = (about ``first``) (about ``second``), perpendicular unit axes."""
    # The second turn leaves its own axis, so the first is what happened to that axis.
    moved = (turn @ second[..., None])[..., 0]
    third = torch.linalg.cross(first, second)
    one = torch.atan2((moved * third).sum(-1), (moved * second).sum(-1))
    rest = rodrigues(-one, first) @ turn
    return one, _angle_about(rest, second)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
