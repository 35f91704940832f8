"""Weights file of the part occupancy network: safetensors in the published layer form, with reach and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from im2hands.core.errors import WeightsError
from im2hands.core.files import sha256_of, utf8_path, write_atomically
from im2hands.geometry.bone_reach import BoneReach
from im2hands.networks.part_decoder import PartDecoder

NAME = "part_occupancy"
FILE = f"{NAME}.safetensors"
_FORMAT, _SHAPE_FORMAT = "im2hands-part-occupancy-1", "im2hands-part-occupancy-2"  # the second has a shape encoder


def save_part_occupancy(decoder: PartDecoder, reach: BoneReach, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``part_occupancy.safetensors`` and its card, with the file's sha256.

    Parameters
    ----------
    decoder : PartDecoder
        The part networks.
    reach : BoneReach
        The reach that they are trained with.
    folder : Path
        Folder of the files; it is created if it does not exist.
    card : mapping of str to Any
        Further entries of the card.

    Returns
    -------
    Path
        The weights file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    form = _FORMAT if decoder.shape_encoder is None else _SHAPE_FORMAT
    metadata = {"format": form, "reach": json.dumps(asdict(reach))}
    save_file({name: value.contiguous() for name, value in decoder.published_state_dict().items()}, path, metadata)
    full = {"name": NAME, "file": FILE, "sha256": sha256_of(path), **card}
    write_atomically(folder / f"{NAME}.json", (json.dumps(full, indent=1) + "\n").encode("utf-8"))
    return path


def load_part_occupancy(path: Path) -> tuple[PartDecoder, BoneReach]:
    """Load the part networks and their reach.

    Parameters
    ----------
    path : Path
        The weights file.

    Returns
    -------
    decoder : PartDecoder
        The part networks.
    reach : BoneReach
        Their reach.

    Raises
    ------
    WeightsError
        The file is missing, damaged or made for another network.
    """
    again = "Install im2hands again, or point --weights to a folder that holds it."
    if not path.is_file():
        raise WeightsError(f"The weights {path} are missing.", again)
    try:
        with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
            metadata = handle.metadata() or {}
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
        if metadata.get("format") not in (_FORMAT, _SHAPE_FORMAT):
            raise WeightsError(f"{path} holds weights of another network.", again)
        reach = json.loads(metadata["reach"])
        return PartDecoder.from_published(state), BoneReach(tuple(reach["radius"]), float(reach["stump"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", again) from error
