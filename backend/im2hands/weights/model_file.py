"""Weights files of the networks that estimate keypoints: safetensors with a format name, and a card.

The loaders of the single networks use these functions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from im2hands.core.errors import WeightsError
from im2hands.core.files import sha256_of, utf8_path

from .folder import BUNDLED, read_card

if TYPE_CHECKING:
    import torch
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")


@runtime_checkable
class Expecting(Protocol):
    """A network with parts that a weights file may lack."""

    def expect(self, names: Collection[str]) -> None:
        """Add the parts that weights of these names hold."""
        ...


_COUNTER = "num_batches_tracked"  # of batch normalisation; evaluation does not use it
_AGAIN = "Install im2hands again, or use --keypoints mediapipe."


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a weights file beside it, with the file's sha256.

    Parameters
    ----------
    path : Path
        The weights file.
    card : mapping of str to Any
        Further entries of the card.
    """
    from im2hands.core.files import write_atomically

    full = {"name": path.stem, "file": path.name, "sha256": sha256_of(path), **card}
    write_atomically(path.with_suffix(".json"), (json.dumps(full, indent=1) + "\n").encode("utf-8"))


def bundled_card(name: str) -> dict[str, Any]:
    """Return the card of bundled weights; empty if these weights are not bundled.

    Parameters
    ----------
    name : str
        Name of the network.
    """
    try:
        card = read_card(BUNDLED / f"{name}.json")
        return card if (BUNDLED / f"{name}.safetensors").is_file() else {}
    except (OSError, ValueError):
        return {}


def read_tensors(path: Path, form: str, framework: str) -> dict[str, Any]:
    """Read the tensors of a weights file.

    Parameters
    ----------
    path : Path
        The weights file.
    form : str
        The format name that the file must have.
    framework : str
        "pt" for torch tensors, "np" for NumPy arrays.

    Returns
    -------
    dict of str to Tensor or ndarray
        Tensors by name.

    Raises
    ------
    WeightsError
        The file is missing, damaged or of another format, or is not the one that its card describes.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"The weights {path} are missing.", _AGAIN)
    try:
        with utf8_path(path) as readable, safe_open(readable, framework=framework) as handle:
            if (handle.metadata() or {}).get("format") != form:
                raise other_network(path)
            _check_card(path)
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", _AGAIN) from error


def _check_card(path: Path) -> None:
    """Refuse weights that are not those of the card beside them: a flipped bit makes other hands, and no error."""
    card = path.with_suffix(".json")
    try:
        expected, found = read_card(card)["sha256"], sha256_of(path)
    except FileNotFoundError:
        return  # weights that a person named, without a card
    except (OSError, ValueError) as error:
        raise WeightsError(f"The card {card} cannot be read: {error}.", _AGAIN) from error
    if found != expected:
        raise WeightsError(
            f"The weights {path} are damaged or changed: their sha256 is not that of {card.name}.", _AGAIN
        )


def save_model(model: nn.Module, path: Path, form: str, card: Mapping[str, Any]) -> Path:
    """Write a network's weights in half precision, and their card.

    Parameters
    ----------
    model : nn.Module
        The network.
    path : Path
        The weights file.
    form : str
        Format name of the file.
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
    import torch
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.detach().cpu().half().contiguous() if value.is_floating_point() else value.cpu()
        for name, value in model.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    if not all(torch.isfinite(value).all() for value in state.values()):
        what = path.stem.replace("_", " ")
        raise WeightsError(f"The weights of the {what} are not all finite in half precision.", "Train it again.")
    save_file(state, path, {"format": form})
    write_card(path, card)
    return path


def load_model(model: Network, path: Path, form: str, device: torch.device | None) -> Network:
    """Load weights that ``save_model`` wrote into a network, and set it to evaluation mode.

    Parameters
    ----------
    model : nn.Module
        The network, changed in place.
    path : Path
        The weights file.
    form : str
        The format name that the file must have.
    device : torch.device or None
        Device to move the network to; None for the CPU.

    Returns
    -------
    nn.Module
        The network.

    Raises
    ------
    WeightsError
        The file is missing, damaged or made for another network.
    """
    state = read_tensors(path, form, "pt")
    state = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    if isinstance(model, Expecting):
        model.expect(state.keys())
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise other_network(path) from error
    if unexpected or any(not name.endswith(_COUNTER) for name in missing):
        raise other_network(path)
    return model.eval().to(device or "cpu")


def other_network(path: Path) -> WeightsError:
    """Return the error for a file with weights of another network.

    Parameters
    ----------
    path : Path
        The weights file.
    """
    return WeightsError(f"{path} holds weights of another network.", _AGAIN)
