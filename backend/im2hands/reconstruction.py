"""One frame from keypoints to meshes: bones, occupancy, surface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bones import bones_from_keypoints
from .errors import FrameError, InputError
from .fields import PartField
from .frames import Frame
from .hands import Camera, Side, TwoHands
from .networks.part_decoder import PartDecoder
from .reach import Reach
from .surface import extract_surfaces
from .weights import require_weights
from .weights.part_occupancy import NAME as PART_OCCUPANCY
from .weights.part_occupancy import load_part_occupancy

VOXEL_LIMITS = (0.0004, 0.01)
"""Smallest and largest lattice spacing, metres."""


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


class Reconstructor:
    """Turns the keypoints of a frame into meshes; made once, used for many frames.

    Args:
        decoder, reach: the part occupancy network. device: where it runs. voxel_m: lattice spacing, metres.
        provenance: names and sha256 of the weights, for the take.
    """

    def __init__(
        self, decoder: PartDecoder, reach: Reach | None, *, device: torch.device, voxel_m: float,
        provenance: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if not VOXEL_LIMITS[0] <= voxel_m <= VOXEL_LIMITS[1]:
            low, high = (limit * 1000 for limit in VOXEL_LIMITS)
            raise InputError(f"A voxel of {voxel_m * 1000:g} mm is not possible.", f"Give {low:g} to {high:g} mm.")
        self.device, self.voxel_m = device, voxel_m
        self.provenance = provenance or {}
        self._decoder, self._reach = decoder.to(device).eval(), reach

    def field(self, keypoints: np.ndarray, sides: list[Side]) -> PartField:
        """The occupancy of B hands.

        Args:
            keypoints: (B, 21, 3), camera frame, metres, file order. sides: B sides.
        """
        positions = torch.as_tensor(keypoints, dtype=torch.float64)
        return PartField(self._decoder, bones_from_keypoints(positions, sides), positions, self._reach)

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """The meshes of the hands that are present.

        Args:
            frame, camera: the picture and its camera; networks without image features do not look at them.
            hands: keypoints, camera frame, metres.

        Raises:
            FrameError: no surface can be made of these keypoints.
        """
        present = hands.present()
        if not present:
            return {}
        sides: list[Side] = [hand.side for hand in present]
        positions = torch.as_tensor(np.stack([hand.positions for hand in present]), dtype=torch.float64)
        bones = bones_from_keypoints(positions, sides)
        if not torch.isfinite(bones.transforms).all():
            raise FrameError("The keypoints of this frame do not make a hand.", "Correct them or leave the frame out.")
        field = PartField(self._decoder, bones, positions, self._reach)
        meshes: dict[Side, HandMesh] = {}
        for k, (side, surface) in enumerate(
            zip(sides, extract_surfaces(field, self.voxel_m, self.device), strict=True)
        ):
            local = surface.vertices @ bones.rotation[k].numpy() + bones.wrist[k].numpy()
            vertices = local * bones.mirror[k].numpy()
            faces = surface.faces[:, ::-1] if side == "left" else surface.faces
            meshes[side] = HandMesh(
                vertices.astype(np.float32), np.ascontiguousarray(faces), bones.lengths[k].numpy().astype(np.float32)
            )
        return meshes


def load_reconstructor(
    weights: str | Path = "bundled", *, device: torch.device, voxel_m: float, stage: str | None = None
) -> Reconstructor:
    """A reconstructor from a weights folder.

    Args:
        weights: "bundled" or a folder. device: where to run. voxel_m: lattice spacing, metres.
        stage: "initial", "refined" or None for the best that the weights allow.

    Raises:
        WeightsError: weights that are missing, damaged, or lack the stage asked for. InputError: a voxel that is not
        possible.
    """
    if stage == "refined":
        from .errors import WeightsError

        raise WeightsError(
            f'The weights "{weights}" hold no refinement network.', "Leave --stage out, or give --weights that have it."
        )
    info = require_weights(PART_OCCUPANCY, weights)
    decoder, reach = load_part_occupancy(info.path)
    provenance = {"weights": {info.name: info.sha256}, "stage": "initial"}
    return Reconstructor(decoder, reach, device=device, voxel_m=voxel_m, provenance=provenance)
