"""Networks of the published sizes, from a folder of imported or trained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from im2hands.core.errors import WeightsError
from im2hands.core.files import sha256_of, utf8_path, write_atomically
from im2hands.networks.image_encoder import ImageEncoder
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.keypoint_refinement import KeypointRefinement
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.refined_occupancy import RefinedOccupancy

from .compact import is_compact, load_compact
from .folder import require_weights
from .importer import FORMAT
from .layouts import (
    HALO_BASELINE,
    INITIAL_OCCUPANCY,
    INTAGHAND_ENCODER,
    KEYPOINT_REFINEMENT,
    REFINED_OCCUPANCY,
    published_layouts,
    stored_layouts,
)

_THIRD_LAYER = "lin0_2.weight"


def load_network(name: str, folder: str | Path) -> nn.Module:
    """Load a network of the published sizes, or a compact one if the folder holds compact weights, in evaluation mode.

    Parameters
    ----------
    name : str
        One of:

        * ``initial_occupancy``: InitialOccupancy;
        * ``refined_occupancy``: RefinedOccupancy, with ``compatibility`` for weights of the authors;
        * ``keypoint_refinement``: KeypointRefinement;
        * ``intaghand_encoder``: ImageEncoder;
        * ``halo_baseline``: PartDecoder with 19 image columns, which are zero if HALO's file had none.
    folder : str or Path
        A folder that ``im2hands weights import`` or a training wrote.

    Returns
    -------
    nn.Module
        The network.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, or of another network.
    """
    if is_compact(name, folder):
        return load_compact(name, folder)
    state = load_published(name, folder)
    if name == HALO_BASELINE:
        if _THIRD_LAYER not in state:
            raise WeightsError(
                f"The weights {name} in {folder} have no third layer: they can only start a training.",
                "Import HALO's own file, which has one.",
            )
        return PartDecoder.from_published(state).eval()
    network = _build(name, compatibility=not trained_here(name, folder))
    network.load_state_dict(state, strict=True)
    return network.eval()


def trained_here(name: str, folder: str | Path) -> bool:
    """Return whether weights of the published sizes come from a training with this program.

    Such weights do not need the compatibility with the published code.

    Parameters
    ----------
    name : str
        Name of the network.
    folder : str or Path
        Folder of the weights.
    """
    path = Path(folder) / f"{name}.safetensors"
    with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
        return (handle.metadata() or {}).get("trained_by") == "im2hands"


def save_trained(name: str, network: nn.Module, folder: Path, card: Mapping[str, Any]) -> None:
    """Write a network of the published sizes that was trained with this program, and its card.

    Parameters
    ----------
    name : str
        Name of the network.
    network : nn.Module
        The network.
    folder : Path
        Folder of the files.
    card : mapping of str to Any
        Further entries of the card.
    """
    path = folder / f"{name}.safetensors"
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    write_atomically(path, to_bytes(state, {"format": FORMAT, "network": name, "trained_by": "im2hands"}))
    full = {"name": name, "file": path.name, "sha256": sha256_of(path), **card}
    write_atomically(folder / f"{name}.json", (json.dumps(full, indent=1) + "\n").encode("utf-8"))


def _build(name: str, *, compatibility: bool) -> nn.Module:
    """A new network of the published sizes."""
    if name == INITIAL_OCCUPANCY:
        return InitialOccupancy()
    if name == REFINED_OCCUPANCY:
        return RefinedOccupancy(compatibility=compatibility)
    return KeypointRefinement() if name == KEYPOINT_REFINEMENT else ImageEncoder()


def load_published(name: str, folder: str | Path) -> dict[str, Tensor]:
    """Load and verify the tensors of a network of the published sizes.

    Parameters
    ----------
    name : str
        Name of the network.
    folder : str or Path
        Folder of the weights.

    Returns
    -------
    dict of str to Tensor
        Tensors under the published names, without prefix.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, or of another network.
    """
    layouts = stored_layouts(name)
    if not layouts:
        known = ", ".join(dict.fromkeys(layout.name for layout in published_layouts()))
        raise WeightsError(f"There is no published network {name}.", f"There are {known}.")
    hint = f"Import the authors' checkpoint: im2hands weights import {layouts[0].origin} --to {folder} --overwrite"
    path = require_weights(name, folder, hint).path
    try:
        with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
            metadata = handle.metadata() or {}
            state = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", hint) from error
    found = metadata.get("network", "another network")
    if metadata.get("format") != FORMAT or found != name:
        raise WeightsError(f"{path} holds weights of {found}, not of {name}.", hint)
    problems = min((layout.problems(state) for layout in layouts), key=len)
    if problems:
        raise WeightsError(f"{path} does not fit {name}: {'; '.join(problems)}.", hint)
    return state


def initial_occupancy_start(folder: str | Path) -> dict[str, Tensor]:
    """Load the weights from which the authors start the training of the initial occupancy network.

    ``halo_baseline`` initialises both part decoders (its third layer only if the file had one), ``intaghand_encoder``
    the image encoder.

    Parameters
    ----------
    folder : str or Path
        Folder of imported weights.

    Returns
    -------
    dict of str to Tensor
        Tensors by their names in InitialOccupancy; empty if the folder holds neither of the two.

    Raises
    ------
    WeightsError
        One of them is damaged or of another network.
    """
    start: dict[str, Tensor] = {}
    for name, prefixes in (
        (HALO_BASELINE, ("left_decoder.", "right_decoder.")),
        (INTAGHAND_ENCODER, ("image_encoder.",)),
    ):
        if (Path(folder) / f"{name}.safetensors").exists():
            state = load_published(name, folder)
            start.update({prefix + key: value for prefix in prefixes for key, value in state.items()})
    return start
