"""Joint angles of the synthetic hand within anatomical limits, and their conversion to and from bone rotations.

A hand has 24 angles. Each finger from thumb to little finger has the flexion of its first, second and third joint and
the spreading of its first joint. Then come the cupping of the palm, the wrist's bend (to the back or the palm), the
wrist's side bend, and the forearm's twist. Positive flexion closes the hand; positive spreading leads away from the
little finger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, METACARPAL_BONES, WRIST_BONE, HandModel
from im2hands.geometry.rotations import rodrigues

CUP, BEND, SIDE_BEND, TWIST = range(20, 24)
"""Index of the other angles."""
COUNT = 24
"""Angles of a hand."""

_FINGER = ((-30.0, 90.0), (-10.0, 105.0), (-10.0, 78.0), (-18.0, 18.0))
_THUMB = ((-30.0, 50.0), (-30.0, 55.0), (-25.0, 75.0), (-32.0, 32.0))
_DEGREES = (*_THUMB, *_FINGER, *_FINGER, *_FINGER, *_FINGER, (0.0, 10.0), (-60.0, 60.0), (-25.0, 25.0), (-35.0, 35.0))

LIMITS = torch.tensor(_DEGREES, dtype=torch.float64) * (math.pi / 180)
"""Lowest and highest value of each angle, (24, 2) float64, radians."""

_FOREARM_TWIST_BONE = 1
_CUPPED = ((METACARPAL_BONES[3], 4, 1.0), (METACARPAL_BONES[2], 3, 0.5))
"""Metacarpal bones that cup the palm: bone, finger whose flexion axis it uses, share of the angle."""


def finger_angle(finger: int, joint: int) -> int:
    """Return the index of a finger's angle: ``joint`` 0, 1, 2 is flexion of that joint, 3 is spreading."""
    return 4 * finger + joint


def wrist_axes(heads: Tensor) -> Tensor:
    """Compute the axes of the wrist.

    Parameters
    ----------
    heads : (B, 27, 3) float64
        Rest-pose bone heads and finger tips.

    Returns
    -------
    (B, 3, 3) float64
        Rows: unit axes of the wrist's bend, its side bend and the forearm's twist, rest pose.
    """
    across = _unit(heads[:, 7] - heads[:, 19])
    along = _unit(heads[:, 11] - heads[:, WRIST_BONE])
    return torch.stack([across, _unit(torch.linalg.cross(across, along)), along], dim=1)


def rotations_from_angles(model: HandModel, heads: Tensor, angles: Tensor) -> Tensor:
    """Convert joint angles to bone rotations.

    Parameters
    ----------
    model : HandModel
        The hand model.
    heads : (B, 27, 3) float64
        Rest-pose bone heads and finger tips.
    angles : (B, 24) float64
        Joint angles, radians.

    Returns
    -------
    (B, 22, 3, 3) float64
        Rotations for ``HandModel.pose``.
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


def _angle_about(turn: Tensor, axis: Tensor) -> Tensor:
    """Signed angle of rotations (B, 3, 3) about known unit axes (B, 3)."""
    skew = torch.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], dim=-1
    )
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2((skew * axis).sum(-1), trace - 1)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
