"""The reconstructor of a draft: hands without surfaces, which only need keypoints that make a hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from im2hands.core.camera import Camera
from im2hands.core.hands import Side, TwoHands
from im2hands.media.source import Frame

from .from_keypoints import HandMesh, bones_of

STAGE = "none"


class NoSurfaces:
    """Gives every hand a mesh without vertices, and the lengths of its bones."""

    def __init__(self) -> None:
        self.provenance: dict[str, Any] = {"weights": {}, "stage": STAGE}

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """Check the hands that are present in a frame.

        Parameters
        ----------
        frame : Frame, optional
            The picture; not used.
        camera : Camera
            Its camera; not used.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        dict of Side to HandMesh
            An empty mesh for each hand that is present.

        Raises
        ------
        FrameError
            The keypoints do not make a hand.
        """
        present = hands.present()
        if not present:
            return {}
        sides, _, bones = bones_of(present)
        vertices, faces = np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
        return {
            side: HandMesh(vertices, faces, bones.lengths[k].numpy().astype(np.float32)) for k, side in enumerate(sides)
        }
