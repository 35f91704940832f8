"""One synthetic scene in the frame of a camera, with two, one or no hands; and its meshes from the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from im2hands.core.camera import Camera
from im2hands.geometry.hand_model import HandModel, HandShape

MIRROR = torch.tensor([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
"""Factors (2, 3) on the model's coordinates: the model is a right hand, the left hand is its mirror image in x."""

NO_HANDS = "none"
"""Mode of a scene without hands."""


@dataclass(frozen=True)
class Scene:
    """Content of one picture. Row 0 of every array is the left hand, row 1 the right hand.

    Parameters
    ----------
    present : (2,) bool
        Which hands are in the scene. The values of an absent hand in the other arrays have no meaning.
    shape : HandShape
        Shapes of the two hands.
    rotations : (2, 22, 3, 3) float64
        Bone rotations.
    turn : (2, 3, 3) float64
        Rotation from the model frame (mirrored in x for the left hand) to the camera frame.
    shift : (2, 3) float64
        Translation from the same frame to the camera frame, metres.
    vertices : (2, 1843, 3) float64
        Mesh vertices, camera frame, metres; NaN for an absent hand.
    keypoints : (2, 21, 3) float64
        Keypoints in file order, camera frame, metres; NaN for an absent hand.
    camera : Camera
        Camera of the picture.
    mode : str
        Interaction mode; see ``interaction_modes``.
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
    """Compute meshes and keypoints of hands from their parameters.

    Parameters
    ----------
    model : HandModel
        The hand model.
    shape : HandShape
        B shapes.
    rotations : (B, 22, 3, 3)
        Bone rotations.
    turn : (B, 3, 3)
        Rotation from the model frame (mirrored in x for left hands) to the wanted frame.
    shift : (B, 3)
        Translation to the wanted frame, metres.
    side : (B,) int64
        0 for left hands, 1 for right hands.

    Returns
    -------
    vertices : (B, 1843, 3) float64
        Mesh vertices in the wanted frame, metres.
    keypoints : (B, 21, 3) float64
        Keypoints in the wanted frame, metres.
    """
    vertices, heads = model.rest(shape)
    vertices, keypoints = model.pose(vertices, heads, rotations.double())
    mirror = MIRROR[side][:, None]
    turn, shift = turn.double(), shift.double()[:, None]
    return (vertices * mirror) @ turn.mT + shift, (keypoints * mirror) @ turn.mT + shift


def rebuild(model: HandModel, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Compute a scene's vertices (2, 1843, 3) and keypoints (2, 21, 3) from its parameters, NaN for absent hands."""
    vertices, keypoints = build_hands(
        model, scene.shape, scene.rotations, scene.turn, scene.shift, torch.tensor([0, 1])
    )
    absent = ~scene.present
    out = vertices.numpy(), keypoints.numpy()
    for array in out:
        array[absent] = np.nan
    return out


def hand_faces(model: HandModel, side: int) -> np.ndarray:
    """Return the outward faces (F, 3) int64 of the left (0) or right (1) hand."""
    faces: np.ndarray = model.faces.numpy()
    return faces if side == 1 else np.ascontiguousarray(faces[:, ::-1])
