"""One synthetic scene: two hands, or one, or none, as one camera sees them; and the meshes from their parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.core.hands import Camera
from im2hands.geometry.hand_model import HandModel, HandShape

MIRROR = torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
"""(2, 3) what the model's coordinates are multiplied by: the model is a right hand, the left one its mirror image."""

NO_HANDS = "none"
"""The mode of a scene without hands."""


@dataclass(frozen=True)
class Scene:
    """What one picture shows. The first row of every array is the left hand, the second the right one.

    Args:
        present: (2,) bool, which hands are there; the other arrays mean nothing for a hand that is not.
        shape: two hands' shapes. rotations: (2, 22, 3, 3) float64 turns of the rig's bones.
        turn: (2, 3, 3) float64 rotation and shift: (2, 3) float64 metres, model frame (mirrored in x for the left hand)
            to camera frame.
        vertices: (2, 1843, 3) float64, camera frame, metres; NaN where the hand is not there.
        keypoints: (2, 21, 3) float64, file order, likewise.
        camera: of the picture. mode: how the hands stand to each other, see :mod:`.interaction`.
    """

    present: np.ndarray
    shape: HandShape
    rotations: Tensor
    turn: Tensor
    shift: Tensor
    vertices: np.ndarray
    keypoints: np.ndarray
    camera: Camera
    mode: str


def build_hands(
    model: HandModel, shape: HandShape, rotations: Tensor, turn: Tensor, shift: Tensor, side: Tensor
) -> tuple[Tensor, Tensor]:
    """Meshes and keypoints of B hands from their parameters.

    Args:
        shape: B shapes. rotations: (B, 22, 3, 3). turn: (B, 3, 3). shift: (B, 3) metres. side: (B,) 0 left, 1 right.

    Returns:
        Vertices (B, 1843, 3) and keypoints (B, 21, 3), metres, the frame that ``turn`` and ``shift`` lead to.
    """
    vertices, heads = model.rest(shape)
    vertices, keypoints = model.pose(vertices, heads, rotations.double())
    mirror = MIRROR[side][:, None]
    turn, shift = turn.double(), shift.double()[:, None]
    return (vertices * mirror) @ turn.mT + shift, (keypoints * mirror) @ turn.mT + shift


def rebuild(model: HandModel, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """A scene's vertices (2, 1843, 3) and keypoints (2, 21, 3) from its parameters, NaN where no hand is."""
    vertices, keypoints = build_hands(
        model, scene.shape, scene.rotations, scene.turn, scene.shift, torch.tensor([0, 1])
    )
    absent = ~scene.present
    out = vertices.numpy(), keypoints.numpy()
    for array in out:
        array[absent] = np.nan
    return out


def hand_faces(model: HandModel, side: int) -> np.ndarray:
    """(F, 3) int64 faces, outward, of the left (0) or right (1) hand."""
    faces: np.ndarray = model.faces.numpy()
    return faces if side == 1 else np.ascontiguousarray(faces[:, ::-1])
