"""The two-hand network's weights on disk: safetensors in half precision, and their card."""

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
    """Write ``two_hand_network.safetensors`` in half precision and its card, with the file's sha256."""
    return save_model(model, folder / FILE, _FORMAT, card)


def load_two_hand_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> TwoHandNetwork:
    """The network, ready to be run.

    Args:
        path: of the weights. device: where it is to run; None for the CPU.

    Raises:
        WeightsError: the file is missing, damaged or made for another network.
    """
    from im2hands.networks.two_hand_network import TwoHandNetwork

    return load_model(TwoHandNetwork(), path, _FORMAT, device).channels_last()
