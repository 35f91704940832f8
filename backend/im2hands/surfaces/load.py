"""Selection of the reconstructor that a weights folder supports."""

from __future__ import annotations

from pathlib import Path

import torch

from im2hands.core.errors import WeightsError
from im2hands.weights.folder import require_weights, weights_folder
from im2hands.weights.part_occupancy import FILE as PART_OCCUPANCY_FILE
from im2hands.weights.part_occupancy import NAME as PART_OCCUPANCY
from im2hands.weights.part_occupancy import load_part_occupancy

from .from_keypoints import Reconstructor
from .from_picture import PictureReconstructor, load_picture_reconstructor
from .no_surfaces import STAGE, NoSurfaces


def load_reconstructor(
    weights: str | Path = "bundled", *, device: torch.device, voxel_m: float, stage: str | None = None
) -> Reconstructor | PictureReconstructor | NoSurfaces:
    """Load a reconstructor from a weights folder.

    The part occupancy network, which uses the keypoints only, is by far the fastest. It also serves as the fallback for
    frames whose hands lie outside the picture.

    Parameters
    ----------
    weights : str or Path
        "bundled" or a folder.
    device : torch.device
        Where the networks run.
    voxel_m : float
        Lattice spacing, metres.
    stage : {"none", "keypoints", "initial", "refined"}, optional
        "none" needs no weights and makes no surfaces. "keypoints" is the part occupancy network. None is the best
        stage that the weights allow.

    Returns
    -------
    Reconstructor or PictureReconstructor
        The reconstructor.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, or have no network for the stage.
    InputError
        The lattice spacing is outside the limits.
    """

    def from_keypoints() -> Reconstructor:
        info = require_weights(PART_OCCUPANCY, weights)
        decoder, reach = load_part_occupancy(info.path)
        provenance = {"weights": {info.name: info.sha256}, "stage": "keypoints"}
        return Reconstructor(decoder, reach, device=device, voxel_m=voxel_m, provenance=provenance)

    if stage == STAGE:
        return NoSurfaces()
    own = from_keypoints() if (weights_folder(weights) / PART_OCCUPANCY_FILE).exists() else None
    if own is not None and stage == "keypoints":
        return own
    seeing = load_picture_reconstructor(weights, device=device, voxel_m=voxel_m, stage=stage, fallback=own)
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
