"""Surface reconstruction of one frame from keypoints alone: bones, occupancy field, meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from im2hands.core.camera import Camera
from im2hands.core.errors import FrameError, InputError
from im2hands.core.hands import HandKeypoints, Side, TwoHands
from im2hands.geometry.bone_reach import BoneReach
from im2hands.geometry.bones import BONE_NAMES, Bones, bones_from_keypoints, even_thickness
from im2hands.geometry.mesh_placing import Placement
from im2hands.media.source import Frame
from im2hands.networks.part_decoder import PartDecoder

from .dense_lattice import Surface, extract_surfaces
from .occupancy_field import PartField

VOXEL_LIMITS = (0.0004, 0.01)
"""Smallest and largest lattice spacing, metres."""

SHORTEST_BONE_M = 1e-4
"""Shortest bone whose direction can be used, metres."""


@dataclass(frozen=True)
class HandMesh:
    """The reconstructed surface of one hand.

    Parameters
    ----------
    vertices : (V, 3) float32
        Positions, camera frame, metres.
    faces : (F, 3) int32
        Triangles, counter-clockwise seen from outside.
    bone_lengths : (16,) float32
        Bone lengths, metres, in the order of ``geometry.bones.BONE_NAMES``.
    """

    vertices: np.ndarray
    faces: np.ndarray
    bone_lengths: np.ndarray


def check_voxel(voxel_m: float) -> None:
    """Check that a lattice spacing lies within ``VOXEL_LIMITS``.

    Parameters
    ----------
    voxel_m : float
        Lattice spacing, metres.

    Raises
    ------
    InputError
        The spacing is outside the limits.
    """
    if not VOXEL_LIMITS[0] <= voxel_m <= VOXEL_LIMITS[1]:
        low, high = (limit * 1000 for limit in VOXEL_LIMITS)
        raise InputError(f"A voxel of {voxel_m * 1000:g} mm is not possible.", f"Give {low:g} to {high:g} mm.")


def bones_of(hands: Sequence[HandKeypoints]) -> tuple[list[Side], torch.Tensor, Bones]:
    """Compute the bones of hands.

    Parameters
    ----------
    hands : sequence of HandKeypoints
        B hands, camera frame, metres.

    Returns
    -------
    sides : list of Side
        B sides.
    positions : (B, 21, 3) float64
        Their keypoints, camera frame, metres.
    bones : Bones
        Their bones.

    Raises
    ------
    FrameError
        The keypoints are not finite or a bone has no length.
    """
    sides: list[Side] = [hand.side for hand in hands]
    positions = torch.as_tensor(np.stack([hand.positions for hand in hands]), dtype=torch.float64)
    bones = bones_from_keypoints(positions, sides)
    factors = bones.lengths.new_tensor([hand.thickness for hand in hands])
    bones = replace(bones, thickness=even_thickness(factors))
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
    """Move a surface from a hand's canonical frame to the frame of the keypoints.

    Parameters
    ----------
    surface : Surface
        The surface of the hand, canonical frame, metres.
    bones : Bones
        Bones of a batch of hands.
    hand : int
        Index of the hand in the batch.

    Returns
    -------
    HandMesh
        The mesh in the frame that ``bones`` were computed in, metres.
    """
    vertices, faces = placement(bones, hand).place(surface.vertices, surface.faces)
    return HandMesh(vertices, faces, bones.lengths[hand].numpy().astype(np.float32))


def placement(bones: Bones, hand: int) -> Placement:
    """Where the canonical frame of one hand of a batch lies.

    Parameters
    ----------
    bones : Bones
        Bones of a batch of hands, on the processor.
    hand : int
        Index of the hand in the batch.
    """
    return Placement(bones.rotation[hand].numpy(), bones.wrist[hand].numpy(), bones.mirror[hand].numpy())


class Reconstructor:
    """Reconstructs meshes from the keypoints of a frame with the part occupancy network; serves many frames.

    Parameters
    ----------
    decoder : PartDecoder
        The part occupancy network.
    reach : BoneReach, optional
        Distance up to which each bone's part network is evaluated; None evaluates every bone everywhere.
    device : torch.device
        Where the network runs.
    voxel_m : float
        Lattice spacing, metres.
    provenance : dict, optional
        Names and sha256 of the weights, recorded in the take.

    Raises
    ------
    InputError
        The lattice spacing is outside the limits.
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
        """The occupancy field of B hands.

        Parameters
        ----------
        keypoints : (B, 21, 3) float
            Keypoints, camera frame, metres, file order.
        sides : list of Side
            B sides.

        Returns
        -------
        PartField
            The field.
        """
        positions = torch.as_tensor(keypoints, dtype=torch.float64)
        return PartField(self._decoder, bones_from_keypoints(positions, sides), positions, self._reach)

    def reconstruct(self, frame: Frame | None, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        """Reconstruct the hands that are present in a frame.

        Parameters
        ----------
        frame : Frame, optional
            The picture; not used by this network.
        camera : Camera
            Its camera; not used by this network.
        hands : TwoHands
            Keypoints, camera frame, metres.

        Returns
        -------
        dict of Side to HandMesh
            The meshes of the hands that are present.

        Raises
        ------
        FrameError
            No surface can be made from these keypoints.
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
