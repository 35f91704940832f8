"""Which reconstructor a weights folder gives."""

from __future__ import annotations

from pathlib import Path

import torch

from im2hands.core.errors import WeightsError
from im2hands.weights.folder import require_weights, weights_folder
from im2hands.weights.part_occupancy import FILE as PART_OCCUPANCY_FILE
from im2hands.weights.part_occupancy import NAME as PART_OCCUPANCY
from im2hands.weights.part_occupancy import load_part_occupancy

from .from_keypoints import Reconstructor
from .from_picture import PictureReconstructor, load_published_reconstructor


def load_reconstructor(
    weights: str | Path = "bundled", *, device: torch.device, voxel_m: float, stage: str | None = None
) -> Reconstructor | PictureReconstructor:
    """A reconstructor from a weights folder.

    Part occupancy, which sees keypoints only, is by far the fastest. It also makes the frames whose hands the other
    networks cannot see.

    Args:
        weights: "bundled" or a folder. device: where to run. voxel_m: lattice spacing, metres.
        stage: "keypoints" for part occupancy, "initial", "refined", or None for the best that the weights allow.

    Raises:
        WeightsError: weights that are missing, damaged, or lack the stage asked for. InputError: a voxel that is not
        possible.
    """

    def from_keypoints() -> Reconstructor:
        info = require_weights(PART_OCCUPANCY, weights)
        decoder, reach = load_part_occupancy(info.path)
        provenance = {"weights": {info.name: info.sha256}, "stage": "keypoints"}
        return Reconstructor(decoder, reach, device=device, voxel_m=voxel_m, provenance=provenance)

    own = from_keypoints() if (weights_folder(weights) / PART_OCCUPANCY_FILE).exists() else None
    if own is not None and stage == "keypoints":
        return own
    seeing = load_published_reconstructor(weights, device=device, voxel_m=voxel_m, stage=stage, fallback=own)
    if seeing is not None:
        if own is not None:
            seeing.provenance["weights"].update(own.provenance["weights"])
        return seeing
    if stage == "keypoints":
        raise WeightsError(
            f'The weights "{weights}" hold no network that needs no picture.',
            "Leave --stage out, or give --weights that have it.",
        )
    if stage == "refined":
        raise WeightsError(
            f'The weights "{weights}" hold no refinement network.', "Leave --stage out, or give --weights that have it."
        )
    return own or from_keypoints()
