"""Weights file of the pair judge: safetensors in half precision, with a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .folder import BUNDLED
from .model_file import load_model, save_model

if TYPE_CHECKING:
    import torch

    from im2hands.networks.pair_judge import PairJudgeNetwork

NAME = "pair_judge"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-pair-judge-3"


def save_pair_judge(network: PairJudgeNetwork, folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``pair_judge.safetensors`` in half precision, and its card with the file's sha256.

    Parameters
    ----------
    network : PairJudgeNetwork
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
    return save_model(network, folder / FILE, _FORMAT, card)


def load_pair_judge(beside: Path | None = None, device: torch.device | None = None) -> PairJudgeNetwork:
    """Load the pair judge's network, in evaluation mode.

    Parameters
    ----------
    beside : Path or None
        Weights file of a two-hand network. A pair judge in the same folder was trained with it and is preferred.
        Without one, or with None, the bundled pair judge is loaded.
    device : torch.device or None
        Device to move the network to; None for the CPU.

    Raises
    ------
    WeightsError
        The file is missing, damaged or made for another network.
    """
    from im2hands.networks.pair_judge import PairJudgeNetwork

    path = beside.parent / FILE if beside is not None and (beside.parent / FILE).is_file() else BUNDLED_FILE
    return load_model(PairJudgeNetwork(), path, _FORMAT, device)
