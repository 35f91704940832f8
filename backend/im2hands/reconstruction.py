"""One frame from keypoints to meshes: bones, occupancy, surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HandMesh:
    """The reconstructed surface of one hand.

    Args:
        vertices: (V, 3) float32, camera frame, metres.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        bone_lengths: (16,) float32, metres (specification 4.1).
    """

    vertices: np.ndarray
    faces: np.ndarray
    bone_lengths: np.ndarray
