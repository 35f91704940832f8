"""The pair judge's weights on disk: safetensors, and their card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import BUNDLED
from .keypoint_files import other_network, read_tensors, write_card

if TYPE_CHECKING:
    from ..keypoints.pair_judge import PairJudge

NAME = "pair_judge"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-pair-judge-1"


def save_pair_judge(weights: Mapping[str, np.ndarray], folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``pair_judge.safetensors`` and its card, with the file's sha256; ``weights`` as PairJudge takes them."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    save_file(arrays, path, {"format": _FORMAT})
    write_card(path, card)
    return path


def load_pair_judge(beside: Path | None = None) -> PairJudge:
    """The judge, ready to be asked.

    Args:
        beside: weights of a two-hand network; a judge in the same folder was trained with it. None, or where there is
            none: the judge that ships.

    Raises:
        WeightsError: the file is missing, damaged or made for another judge.
    """
    from ..keypoints.pair_judge import PairJudge

    path = beside.parent / FILE if beside is not None and (beside.parent / FILE).is_file() else BUNDLED_FILE
    try:
        return PairJudge(read_tensors(path, _FORMAT, "np"))
    except ValueError as error:
        raise other_network(path) from error
