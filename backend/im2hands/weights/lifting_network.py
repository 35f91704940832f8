"""The lifting network's weights on disk: safetensors in half precision, and their card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from . import BUNDLED
from .keypoint_files import other_network, read_tensors, write_card

if TYPE_CHECKING:
    import torch

    from ..networks.lifting_network import LiftingNetwork

NAME = "lifting_network"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-lifting-network-1"


def save_lifting_network(model: LiftingNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``lifting_network.safetensors`` in half precision and its card, with the file's sha256."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    state = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise WeightsError("The lifting network's weights are not all finite in half precision.", "Train it again.")
    save_file(state, path, {"format": _FORMAT})
    write_card(path, card)
    return path


def load_lifting_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> LiftingNetwork:
    """The network, ready to be run.

    Args:
        path: of the weights. device: where it is to run; None for the CPU.

    Raises:
        WeightsError: the file is missing, damaged or made for another network.
    """
    import torch

    from ..networks.lifting_network import LiftingNetwork

    state = read_tensors(path, _FORMAT, "pt")
    model = LiftingNetwork()
    try:
        model.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        raise other_network(path) from error
    return model.eval().to(device or torch.device("cpu"))
