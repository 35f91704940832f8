"""The two-hand network's weights on disk: safetensors in half precision, and their card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from . import BUNDLED
from .part_occupancy import sha256_of

if TYPE_CHECKING:
    import torch

    from ..networks.palm_network import PalmNetwork

NAME = "two_hand_network"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-two-hand-network-1"
_AGAIN = "Install im2hands again, or use --keypoints mediapipe."


def save_two_hand_network(model: PalmNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``two_hand_network.safetensors`` in half precision and its card, with the file's sha256."""
    import torch
    from safetensors.torch import save_file

    from ..take import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    state = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise WeightsError("The two-hand network's weights are not all finite in half precision.", "Train it again.")
    save_file(state, path, {"format": _FORMAT})
    full = {"name": NAME, "file": FILE, "sha256": sha256_of(path), **card}
    write_atomically(folder / f"{NAME}.json", (json.dumps(full, indent=1) + "\n").encode("utf-8"))
    return path


def bundled_card() -> dict[str, Any]:
    """The card of the weights that ship; empty where they do not."""
    try:
        card: dict[str, Any] = json.loads((BUNDLED / f"{NAME}.json").read_text(encoding="utf-8"))
        return card if BUNDLED_FILE.is_file() else {}
    except (OSError, ValueError):
        return {}


def load_two_hand_network(path: Path = BUNDLED_FILE, device: torch.device | None = None) -> PalmNetwork:
    """The network, ready to be run.

    Args:
        path: of the weights. device: where it is to run; None for the CPU.

    Raises:
        WeightsError: the file is missing, damaged or made for another network.
    """
    from safetensors import SafetensorError, safe_open

    from ..networks.palm_network import PalmNetwork

    if not path.is_file():
        raise WeightsError(f"The weights {path} are missing.", _AGAIN)
    try:
        with safe_open(path, framework="pt") as handle:
            if (handle.metadata() or {}).get("format") != _FORMAT:
                raise WeightsError(f"{path} holds weights of another network.", _AGAIN)
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", _AGAIN) from error
    model = PalmNetwork()
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path} holds weights of another network.", _AGAIN) from error
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise WeightsError(f"{path} holds weights of another network.", _AGAIN)
    import torch

    return model.eval().to(device or torch.device("cpu")).channels_last()
