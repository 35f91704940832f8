"""Weights file of the lifting network: safetensors in half precision, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import BUNDLED
from .model_file import load_model, save_model

if TYPE_CHECKING:
    import torch

    from im2hands.networks.lifting_network import LiftingNetwork

NAME = "lifting_network"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-lifting-network-2"


def save_lifting_network(model: LiftingNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``lifting_network.safetensors`` in half precision, and its card with the file's sha256.

    Parameters
    ----------
    model : LiftingNetwork
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


def load_lifting_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> LiftingNetwork:
    """Load the lifting network, in evaluation mode.

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
    from im2hands.networks.lifting_network import LiftingNetwork

    return load_model(LiftingNetwork(), path, _FORMAT, device)
