"""A mesh moved from a hand's canonical frame to the frame of its keypoints.

This module does without PyTorch, so that worker processes can use it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Placement(NamedTuple):
    """Where a hand's canonical frame lies.

    Parameters
    ----------
    rotation : (3, 3) float64
        From the hand frame to the canonical frame.
    wrist : (3,) float64
        Wrist, mirrored in x for left hands, metres.
    mirror : (3,) float64
        (-1, 1, 1) for left hands and (1, 1, 1) for right ones.
    """

    rotation: np.ndarray
    wrist: np.ndarray
    mirror: np.ndarray

    def place(self, vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move a mesh.

        Parameters
        ----------
        vertices : (V, 3) float64
            Positions, canonical frame, metres.
        faces : (F, 3) int32
            Triangles, counter-clockwise seen from outside.

        Returns
        -------
        vertices : (V, 3) float32
            Positions, frame of the keypoints, metres.
        faces : (F, 3) int32
            Triangles, counter-clockwise seen from outside.
        """
        placed = (vertices @ self.rotation + self.wrist) * self.mirror
        # Mirroring turns faces inside out.
        faces = faces[:, ::-1] if self.mirror[0] < 0 else faces
        return placed.astype(np.float32), np.ascontiguousarray(faces)
