"""One frame from keypoints to meshes: bones, occupancy, surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import Camera, HandKeypoints, Side, TwoHands
from im2hands.geometry.bone_reach import BoneReach
from im2hands.geometry.bones import BONE_NAMES, Bones, bones_from_keypoints
from im2hands.media.source import Frame
from im2hands.networks.part_decoder import PartDecoder

from .dense_lattice import Surface, extract_surfaces
from .occupancy_field import PartField

VOXEL_LIMITS = (0.0004, 0.01)
"""Smallest and largest lattice spacing, metres."""

SHORTEST_BONE_M = 1e-4
"""Metres; a shorter bone has no direction."""


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


def check_voxel(voxel_m: float) -> None:
    """Refuse a lattice spacing (metres) outside :data:`VOXEL_LIMITS`.

    Raises:
        InputError: such a spacing.
    """
    if not VOXEL_LIMITS[0] <= voxel_m <= VOXEL_LIMITS[1]:
        low, high = (limit * 1000 for limit in VOXEL_LIMITS)
        raise InputError(f"A voxel of {voxel_m * 1000:g} mm is not possible.", f"Give {low:g} to {high:g} mm.")


def bones_of(hands: Sequence[HandKeypoints]) -> tuple[list[Side], torch.Tensor, Bones]:
    """Sides, keypoints (B, 21, 3) float64 (camera frame, metres) and bones of B hands.

    Raises:
        FrameError: keypoints that do not make a hand.
    """
    sides: list[Side] = [hand.side for hand in hands]
    positions = torch.as_tensor(np.stack([hand.positions for hand in hands]), dtype=torch.float64)
    bones = bones_from_keypoints(positions, sides)
    if not torch.isfinite(bones.transforms).all():
        raise FrameError("The keypoints of this frame do not make a hand.", "Correct them or leave the frame out.")
    for side, lengths in zip(sides, bones.lengths, strict=True):
        if lengths.min() < SHORTEST_BONE_M:
            name = BONE_NAMES[int(lengths.argmin())].replace("_", " ")
            raise FrameError(
                f"The bone {name} of the {side} hand has no length.", "Correct its keypoints or leave the frame out."
            )
    return sides, positions, bones


def hand_mesh(surface: Surface, bones: Bones, hand: int) -> HandMesh:
    """A surface in the canonical frame of the hand with that index, as a mesh in the frame ``bones`` were made in."""
    local = surface.vertices @ bones.rotation[hand].numpy() + bones.wrist[hand].numpy()
    vertices = local * bones.mirror[hand].numpy()
    # A mirrored mesh would point inward.
    faces = surface.faces[:, ::-1] if bones.mirror[hand, 0] < 0 else surface.faces
    return HandMesh(
        vertices.astype(np.float32), np.ascontiguousarray(faces), bones.lengths[hand].numpy().astype(np.float32)
    )


class Reconstructor:
    """Turns the keypoints of a frame into meshes; made once, used for many frames.

    Args:
        decoder, reach: the part occupancy network. device: where it runs. voxel_m: lattice spacing, metres.
        provenance: names and sha256 of the weights, for the take.
    """

    def __init__(
        self, decoder: PartDecoder, reach: BoneReach | None, *, device: torch.device, voxel_m: float,
        provenance: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        check_voxel(voxel_m)
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
        sides, positions, bones = bones_of(present)
        field = PartField(self._decoder, bones, positions, self._reach)
        surfaces = extract_surfaces(field, self.voxel_m, self.device)
        return {
            side: hand_mesh(surface, bones, k) for k, (side, surface) in enumerate(zip(sides, surfaces, strict=True))
        }
