"""The pair judge's weights on disk: safetensors, and their card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WeightsError
from . import BUNDLED
from .part_occupancy import sha256_of

if TYPE_CHECKING:
    from ..keypoints.pair_judge import PairJudge

NAME = "pair_judge"
FILE = f"{NAME}.safetensors"
BUNDLED_FILE = BUNDLED / FILE
_FORMAT = "im2hands-pair-judge-1"
_AGAIN = "Install im2hands again, or use --keypoints mediapipe."


def save_pair_judge(weights: Mapping[str, np.ndarray], folder: Path, card: Mapping[str, Any]) -> Path:
    """Write ``pair_judge.safetensors`` and its card, with the file's sha256; ``weights`` as PairJudge takes them."""
    from safetensors.numpy import save_file

    from ..take import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}, path, {"format": _FORMAT}
    )
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


def load_pair_judge(beside: Path | None = None) -> PairJudge:
    """The judge, ready to be asked.

    Args:
        beside: weights of a two-hand network; a judge in the same folder was trained with it. None, or where there is
            none: the judge that ships.

    Raises:
        WeightsError: the file is missing, damaged or made for another judge.
    """
    from safetensors import SafetensorError, safe_open

    from ..keypoints.pair_judge import PairJudge

    path = beside.parent / FILE if beside is not None and (beside.parent / FILE).is_file() else BUNDLED_FILE
    if not path.is_file():
        raise WeightsError(f"The weights {path} are missing.", _AGAIN)
    try:
        with safe_open(path, framework="np") as handle:
            if (handle.metadata() or {}).get("format") != _FORMAT:
                raise WeightsError(f"{path} holds weights of another network.", _AGAIN)
            return PairJudge({name: handle.get_tensor(name) for name in handle.keys()})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", _AGAIN) from error
    except ValueError as error:
        raise WeightsError(f"{path} holds weights of another judge: {error}.", _AGAIN) from error
