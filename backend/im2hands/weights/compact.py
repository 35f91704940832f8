"""Weights of the compact networks: one file for each network and one for the image encoder that they share.

The files are safetensors. Their metadata hold the format, the name of the network and its configuration; a card lies
beside each. Large tensors are stored in half precision, except those of the part decoders, whose geometry needs more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from im2hands.core.errors import WeightsError
from im2hands.core.files import require_regular, sha256_of, utf8_path, write_atomically
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.configuration import Configuration
from im2hands.networks.image_encoder import PictureEncoder
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.part_decoder import IMAGE_FEATURES

from .folder import BUNDLED, IMAGE_ENCODER, require_weights
from .layouts import INITIAL_OCCUPANCY, KEYPOINT_REFINEMENT, REFINED_OCCUPANCY
from .part_occupancy import FILE as PART_OCCUPANCY_FILE
from .part_occupancy import load_part_occupancy

FORMAT = "im2hands-compact-1"
ALIGNED_OCCUPANCY = "aligned_occupancy"
"""The HALO* baseline: part decoders with pixel-aligned image features."""

NETWORKS = (INITIAL_OCCUPANCY, ALIGNED_OCCUPANCY, REFINED_OCCUPANCY, KEYPOINT_REFINEMENT)
"""Names of the compact networks."""

_ABOUT = "im2hands"
_HINT = "Give the folder a training wrote: im2hands train … --config compact."
# Names of the tensors of the shared encoder, and of those that are stored in full precision.
_SHARED = re.compile(r"(^|\.)image_encoder\.")
_EXACT = re.compile(r"(_decoder\.(lin|global_proj)\d|\.bone_encoder\.|running_|num_batches)")


def save_encoder(encoder: PictureEncoder, configuration: Configuration, folder: Path, card: Mapping[str, Any]) -> str:
    """Write ``image_encoder.safetensors`` and its card.

    Parameters
    ----------
    encoder : PictureEncoder
        The encoder.
    configuration : Configuration
        Configuration of the networks.
    folder : Path
        Folder of the files.
    card : mapping of str to Any
        Further entries of the card.

    Returns
    -------
    str
        sha256 of the file, which the networks trained on this encoder refer to.
    """
    return _save(IMAGE_ENCODER, encoder.state_dict(), configuration, folder, dict(card))


def save_network(
    name: str, network: nn.Module, configuration: Configuration, encoder_sha256: str, folder: Path,
    card: Mapping[str, Any],
) -> str:  # fmt: skip
    """Write a compact network without its encoder, and its card.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    network : nn.Module
        The network.
    configuration : Configuration
        Configuration of the networks.
    encoder_sha256 : str
        sha256 of the file of its encoder, from ``save_encoder``.
    folder : Path
        Folder of the files.
    card : mapping of str to Any
        Further entries of the card.

    Returns
    -------
    str
        sha256 of the file.
    """
    state = {key: value for key, value in network.state_dict().items() if not _SHARED.search(key)}
    return _save(name, state, configuration, folder, {"encoder_sha256": encoder_sha256, **card})


def _save(
    name: str, state: Mapping[str, Tensor], configuration: Configuration, folder: Path, card: dict[str, Any]
) -> str:
    """Write weights and card; return the sha256 of the file."""
    stored = {key: _stored(key, value) for key, value in state.items()}
    about = {"format": FORMAT, "network": name, "configuration": asdict(configuration)}
    if "encoder_sha256" in card:
        about["encoder_sha256"] = card["encoder_sha256"]
    path = folder / f"{name}.safetensors"
    # A single metadata entry: safetensors writes several in arbitrary order, but equal weights must give equal files.
    write_atomically(path, to_bytes(stored, {_ABOUT: json.dumps(about, sort_keys=True)}))
    digest = sha256_of(path)
    full = {"name": name, "file": path.name, "sha256": digest, "configuration": asdict(configuration), **card}
    write_atomically(folder / f"{name}.json", (json.dumps(full, indent=1) + "\n").encode("utf-8"))
    return digest


def _stored(key: str, value: Tensor) -> Tensor:
    """A tensor as it is stored: in half precision if it is large and no part of a part decoder."""
    value = value.detach().cpu().contiguous().clone()
    half = value.is_floating_point() and value.ndim > 1 and not _EXACT.search(key)
    return value.half() if half else value


def is_compact(name: str, folder: str | Path) -> bool:
    """Return whether a folder holds compact weights of that name.

    Parameters
    ----------
    name : str
        Name of the network.
    folder : str or Path
        The folder.
    """
    path = Path(folder) / f"{name}.safetensors"
    try:
        require_regular(path)
        with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
            return _about(handle).get("format") == FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def _about(handle: Any) -> dict[str, Any]:
    """Our metadata of an open safetensors file; empty if there are none."""
    about = json.loads((handle.metadata() or {}).get(_ABOUT, "{}"))
    return about if isinstance(about, dict) else {}


def load_encoder(folder: str | Path) -> CompactEncoder:
    """Load the shared image encoder of a folder, in evaluation mode.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, or not of this program.
    """
    state, metadata = _load(IMAGE_ENCODER, folder)
    configuration = _configuration(metadata, folder)
    encoder = CompactEncoder(configuration.side, configuration.channels)
    _fill(encoder, state, IMAGE_ENCODER, folder)
    return encoder.eval()


def load_compact(name: str, folder: str | Path, encoder: PictureEncoder | None = None) -> nn.Module:
    """Load a compact network, in evaluation mode.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    folder : str or Path
        The folder.
    encoder : PictureEncoder or None
        The encoder of the folder, from ``load_encoder``. Networks that share it encode a picture only once. None loads
        it here.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, of another network, or trained on another encoder than that of the folder.
    """
    state, metadata = _load(name, folder)
    wanted = metadata.get("encoder_sha256", "")
    if wanted != require_weights(IMAGE_ENCODER, folder, _HINT).sha256:
        raise WeightsError(
            f"The weights {name} in {folder} were trained on another image encoder than the one beside them.", _HINT
        )
    configuration = _configuration(metadata, folder)
    encoder = encoder or load_encoder(folder)
    network = build(name, configuration, encoder)
    whole = dict(state)
    for key, value in encoder.state_dict().items():
        prefixes = ("image_encoder.", "init_occ.image_encoder.") if name == REFINED_OCCUPANCY else ("image_encoder.",)
        whole.update({prefix + key: value for prefix in prefixes})
    _fill(network, whole, name, folder)
    return network.eval()


def build(name: str, configuration: Configuration, encoder: PictureEncoder | None) -> nn.Module:
    """Make a new network.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    configuration : Configuration
        Configuration of the networks.
    encoder : PictureEncoder or None
        The shared encoder.
    """
    make = {
        INITIAL_OCCUPANCY: configuration.make_initial,
        ALIGNED_OCCUPANCY: configuration.make_aligned,
        REFINED_OCCUPANCY: configuration.make_refined,
        KEYPOINT_REFINEMENT: configuration.make_keypoints,
    }
    return cast(nn.Module, make[name](encoder))  # type: ignore[operator]


def _load(name: str, folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (float32) and metadata of a network in a folder."""
    path = require_weights(name, folder, _HINT).path
    try:
        with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
            metadata = _about(handle)
            state = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", _HINT) from error
    if metadata.get("format") != FORMAT or metadata.get("network") != name:
        raise WeightsError(f"{path} holds weights of {metadata.get('network', 'another network')}, not {name}.", _HINT)
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, metadata


def _configuration(metadata: Mapping[str, Any], folder: str | Path) -> Configuration:
    """The configuration in the metadata of a file."""
    try:
        return Configuration.from_dict(metadata["configuration"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The weights in {folder} have a configuration that is not known: {error}.", _HINT
        ) from error


def _fill(network: nn.Module, state: Mapping[str, Tensor], name: str, folder: str | Path) -> None:
    """Load a state_dict into a network; all names and shapes must fit."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"The weights {name} in {folder} do not fit: {reason}", _HINT) from error


@torch.no_grad()
def start_from_part_occupancy(
    network: InitialOccupancy, folder: Path = BUNDLED, *, keep_image_columns: bool = False
) -> None:
    """Initialise both part decoders with the part occupancy weights of a folder.

    The columns that read image features become zero, so the image has no effect before training. Weights without a
    shape encoder leave that of the network as it is.

    Parameters
    ----------
    network : InitialOccupancy
        The network, changed in place.
    folder : Path
        Folder of the part occupancy weights.
    keep_image_columns : bool
        Whether the columns that read image features stay as they are.

    Raises
    ------
    WeightsError
        The weights are missing or damaged.
    """
    decoder, _ = load_part_occupancy(folder / PART_OCCUPANCY_FILE)
    new = decoder.published_state_dict()
    for side in ("left", "right"):
        module = network.get_submodule(f"{side}_decoder")
        own = module.state_dict()
        for name, value in new.items():
            if name.endswith("_2.weight"):
                columns = own[name][:, -IMAGE_FEATURES:]
                value = torch.cat([value, columns if keep_image_columns else torch.zeros_like(columns)], dim=1)
            own[name] = value
        module.load_state_dict(own)
