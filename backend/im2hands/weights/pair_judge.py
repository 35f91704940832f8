"""The pair judge's weights on disk: safetensors in half precision, and their card."""

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
    """Write ``pair_judge.safetensors`` in half precision and its card, with the file's sha256."""
    return save_model(network, folder / FILE, _FORMAT, card)


def load_pair_judge(beside: Path | None = None, device: torch.device | None = None) -> PairJudgeNetwork:
    """The judge's network, ready to be run.

    Args:
        beside: weights of a two-hand network; a judge in the same folder was trained with it. None, or where there is
            none: the judge that ships. device: where it is to run; None for the CPU.

    Raises:
        WeightsError: the file is missing, damaged or made for another judge.
    """
    from im2hands.networks.pair_judge import PairJudgeNetwork

    path = beside.parent / FILE if beside is not None and (beside.parent / FILE).is_file() else BUNDLED_FILE
    return load_model(PairJudgeNetwork(), path, _FORMAT, device)
