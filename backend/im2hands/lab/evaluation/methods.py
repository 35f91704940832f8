"""The reconstruction methods that are compared: their names, and their loading from one weights folder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from im2hands.core.errors import WeightsError
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.surfaces.from_keypoints import Reconstructor
from im2hands.surfaces.from_picture import PictureReconstructor, load_picture_reconstructor, stage_network
from im2hands.weights.compact import ALIGNED_OCCUPANCY
from im2hands.weights.folder import IMAGE_ENCODER, require_weights, weights_folder
from im2hands.weights.layouts import HALO_BASELINE
from im2hands.weights.part_occupancy import FILE as PART_OCCUPANCY_FILE
from im2hands.weights.part_occupancy import NAME, load_part_occupancy
from im2hands.weights.published import load_network

METHODS = {"halo": "HALO (J)", "halo*": "HALO* (I, J)", "initial": "initial", "refined": "refined"}
"""Name on the command line to name in the table. J: uses the keypoints. I: uses the image."""


def load_method(
    method: str, weights: str | Path, *, device: torch.device, voxel_m: float
) -> Reconstructor | PictureReconstructor:
    """Load the reconstructor of a method.

    Parameters
    ----------
    method : str
        A key of ``METHODS``.
    weights : str or Path
        "bundled" or a weights folder. HALO is ``part_occupancy``, or the authors' ``halo_baseline`` in a folder
        without it.
    device : torch.device
        Device to run on.
    voxel_m : float
        Lattice spacing, metres.

    Returns
    -------
    Reconstructor or PictureReconstructor

    Raises
    ------
    WeightsError
        The folder lacks the method's weights, or they are damaged.
    """
    if method == "halo":
        folder = weights_folder(weights)
        if not (folder / PART_OCCUPANCY_FILE).exists() and (folder / f"{HALO_BASELINE}.safetensors").exists():
            published = load_picture_reconstructor(weights, device=device, voxel_m=voxel_m, stage="keypoints")
            assert published is not None
            return published
        decoder, reach = load_part_occupancy(require_weights(NAME, weights).path)
        return Reconstructor(decoder, reach, device=device, voxel_m=voxel_m)
    if method == "halo*":
        folder = weights_folder(weights)
        require_weights(ALIGNED_OCCUPANCY, folder, "Train them: im2hands train aligned-occupancy.")
        network = cast(InitialOccupancy, load_network(ALIGNED_OCCUPANCY, folder))
        return PictureReconstructor(network, device=device, voxel_m=voxel_m)
    made = load_picture_reconstructor(weights, device=device, voxel_m=voxel_m, stage=method)
    if made is None:
        raise WeightsError(f"The weights {weights} hold no network for the {method} stage.", "Give another --weights.")
    return made


def method_files(method: str, weights: str | Path) -> dict[str, Path]:
    """Return the weights files that a method's meshes depend on.

    Parameters
    ----------
    method : str
        Reconstruction method, a key of ``METHODS``.
    weights : str or Path
        "bundled" or a folder.

    Returns
    -------
    dict of str to Path
        Existing files by name; empty if the folder lacks the method's weights.
    """
    folder = weights_folder(weights)
    names = {"halo": NAME, "halo*": ALIGNED_OCCUPANCY}
    name = names[method] if method in names else stage_network(folder, method)
    if method == "halo" and not (folder / PART_OCCUPANCY_FILE).is_file():
        name = HALO_BASELINE  # as ``load_method`` has it
    if name is None or not (folder / f"{name}.safetensors").is_file():
        return {}
    found = [name, IMAGE_ENCODER] if method != "halo" else [name]
    paths = {name: folder / f"{name}.safetensors" for name in found}
    return {name: path for name, path in paths.items() if path.is_file()}
