"""What the files of the networks that find keypoints share: safetensors with a format, and a card beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from . import BUNDLED
from .part_occupancy import sha256_of

_AGAIN = "Install im2hands again, or use --keypoints mediapipe."


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a weights file beside it, with the file's sha256."""
    from ..take import write_atomically

    full = {"name": path.stem, "file": path.name, "sha256": sha256_of(path), **card}
    write_atomically(path.with_suffix(".json"), (json.dumps(full, indent=1) + "\n").encode("utf-8"))


def bundled_card(name: str) -> dict[str, Any]:
    """The card of weights that ship; empty where they do not."""
    try:
        card: dict[str, Any] = json.loads((BUNDLED / f"{name}.json").read_text(encoding="utf-8"))
        return card if (BUNDLED / f"{name}.safetensors").is_file() else {}
    except (OSError, ValueError):
        return {}


def read_tensors(path: Path, form: str, framework: str) -> dict[str, Any]:
    """The tensors of a file by name.

    Args:
        form: what the file must say it is. framework: "pt" for torch tensors, "np" for NumPy arrays.

    Raises:
        WeightsError: the file is missing, damaged or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsError(f"The weights {path} are missing.", _AGAIN)
    try:
        with safe_open(path, framework=framework) as handle:
            if (handle.metadata() or {}).get("format") != form:
                raise other_network(path)
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"The weights {path} are damaged: {error}.", _AGAIN) from error


def other_network(path: Path) -> WeightsError:
    """What is said of a file whose weights do not fit."""
    return WeightsError(f"{path} holds weights of another network.", _AGAIN)
