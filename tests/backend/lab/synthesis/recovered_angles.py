"""Joint angles recovered from bone rotations: the inverse that the tests hold ``rotations_from_angles`` against."""

from __future__ import annotations

import torch
from torch import Tensor

from im2hands.geometry.hand_model import FINGER_BONES, WRIST_BONE, HandModel
from im2hands.geometry.rotations import rodrigues
from im2hands.lab.synthesis import joint_angles
from im2hands.lab.synthesis.joint_angles import BEND, COUNT, CUP, SIDE_BEND, TWIST, wrist_axes


def angles_from_rotations(model: HandModel, heads: Tensor, rotations: Tensor) -> Tensor:
    """Convert bone rotations made by ``rotations_from_angles`` back to joint angles.

    Parameters
    ----------
    model : HandModel
        The hand model.
    heads : (B, 27, 3) float64
        Rest-pose bone heads and finger tips.
    rotations : (B, 22, 3, 3) float64
        Bone rotations.

    Returns
    -------
    (B, 24) float64
        Joint angles, radians.
    """
    flexion, spreading = model.flexion_axes(heads)
    angles = torch.zeros(len(rotations), COUNT, dtype=rotations.dtype)
    for finger, bones in enumerate(FINGER_BONES):
        first = rotations[:, bones[0]]
        angles[:, 4 * finger], angles[:, 4 * finger + 3] = _two_angles(
            first, flexion[:, finger, 0], spreading[:, finger]
        )
        for joint in (1, 2):
            angles[:, 4 * finger + joint] = _angle_about(rotations[:, bones[joint]], flexion[:, finger, joint])
    bone, finger, share = joint_angles._CUPPED[0]
    angles[:, CUP] = _angle_about(rotations[:, bone], flexion[:, finger, 0]) / share
    axes = wrist_axes(heads)
    angles[:, BEND], angles[:, SIDE_BEND] = _two_angles(rotations[:, WRIST_BONE], axes[:, 0], axes[:, 1])
    angles[:, TWIST] = _angle_about(rotations[:, joint_angles._FOREARM_TWIST_BONE], axes[:, 2])
    return angles


def _two_angles(turn: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """The two angles of rotations about ``first`` times rotations about ``second``, perpendicular unit axes (B, 3)."""
    # The second rotation keeps its own axis, so the movement of that axis gives the first angle.
    moved = (turn @ second[..., None])[..., 0]
    third = torch.linalg.cross(first, second)
    one = torch.atan2((moved * third).sum(-1), (moved * second).sum(-1))
    rest = rodrigues(-one, first) @ turn
    return one, _angle_about(rest, second)


def _angle_about(turn: Tensor, axis: Tensor) -> Tensor:
    """Signed angle of rotations (B, 3, 3) about known unit axes (B, 3)."""
    skew = torch.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], dim=-1
    )
    trace = turn.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2((skew * axis).sum(-1), trace - 1)
