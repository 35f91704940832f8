"""The lifting network's weights on disk: safetensors in half precision, and their card."""

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
    """Write ``lifting_network.safetensors`` in half precision and its card, with the file's sha256."""
    return save_model(model, folder / FILE, _FORMAT, card)


def load_lifting_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> LiftingNetwork:
    """The network, ready to be run.

    Args:
        path: of the weights. device: where it is to run; None for the CPU.

    Raises:
        WeightsError: the file is missing, damaged or made for another network.
    """
    from im2hands.networks.lifting_network import LiftingNetwork

    return load_model(LiftingNetwork(), path, _FORMAT, device)
