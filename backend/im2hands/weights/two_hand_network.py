"""Weights file of the two-hand network: safetensors in half precision, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import BUNDLED
from .model_file import load_model, save_model

if TYPE_CHECKING:
    import torch

    from im2hands.networks.two_hand_network import TwoHandNetwork

NAME = "two_hand_network"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-two-hand-network-1"


def save_two_hand_network(model: TwoHandNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``two_hand_network.safetensors`` in half precision, and its card with the file's sha256.

    Parameters
    ----------
    model : TwoHandNetwork
        The network.
    folder : Path
        Folder of the files.
    card : mapping of str to Any
        Further entries of the card.

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    WeightsError
        The weights are not finite in half precision.
    """
    return save_model(model, folder / FILE, _FORMAT, card)


def load_two_hand_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> TwoHandNetwork:
    """Load the two-hand network, in evaluation mode.

    Parameters
    ----------
    path : Path
        The weights file.
    device : torch.device or None
        Device to move the network to; None for the CPU.

    Raises
    ------
    WeightsError
        The file is missing, damaged or made for another network.
    """
    from im2hands.networks.two_hand_network import TwoHandNetwork

    return load_model(TwoHandNetwork(), path, _FORMAT, device).channels_last()
