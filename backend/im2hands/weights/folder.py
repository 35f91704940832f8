"""Bundled weights, their cards, and how they are found and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from im2hands.core.errors import WeightsError

BUNDLED = Path(__file__).parent / "bundled"
_NEEDED = ("part_occupancy",)


@dataclass(frozen=True)
class WeightsInfo:
    """One network's weights as found on disk.

    Args:
        name: the network. path: the weights file. sha256: of the file as it is, ``""`` if missing.
        found: whether the file is there. problem: what is wrong, for a person; ``""`` if nothing is. card: the model
        card.
    """

    name: str
    path: Path
    sha256: str
    found: bool
    problem: str
    card: dict[str, Any] = field(default_factory=dict)


def weights_folder(folder: str | Path = "bundled") -> Path:
    """The folder that ``--weights`` stands for.

    Raises:
        WeightsError: there is no such folder.
    """
    path = BUNDLED if str(folder) == "bundled" else Path(folder)
    if not path.is_dir():
        raise WeightsError(f"There is no weights folder {path}.", 'Give a folder, or "bundled" for those that ship.')
    return path


def list_weights(folder: str | Path = "bundled") -> list[WeightsInfo]:
    """What stands in a weights folder: every network with a card or a file, each checked against its sha256.

    The bundled folder must hold what is needed, and so must one that holds nothing at all: it is listed as missing.
    A folder with other networks, imported ones for example, is complete as it is.

    Raises:
        WeightsError: there is no such folder.
    """
    path = weights_folder(folder)
    names = {file.stem for pattern in ("*.json", "*.safetensors") for file in path.glob(pattern)}
    if not names or path.resolve() == BUNDLED.resolve():
        names |= set(_NEEDED)
    return [_inspect(path, name) for name in sorted(names)]


def _inspect(folder: Path, name: str) -> WeightsInfo:
    from .part_occupancy import sha256_of

    card_path, path = folder / f"{name}.json", folder / f"{name}.safetensors"
    card: dict[str, Any] = {}
    problem = ""
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"its card {card_path.name} is missing"
    except (OSError, ValueError) as error:
        problem = f"its card {card_path.name} cannot be read ({error})"
    if not path.is_file():
        return WeightsInfo(name, path, "", False, f"{path} is missing", card)
    digest = sha256_of(path)
    if card and digest != card.get("sha256"):
        problem = (
            f"{path} is damaged or changed: its sha256 is {digest[:12]}…, the card says {card.get('sha256', '')[:12]}…"
        )
    return WeightsInfo(name, path, digest, True, problem, card)


def require_weights(name: str, folder: str | Path = "bundled", hint: str = "") -> WeightsInfo:
    """The named weights, verified.

    Args:
        hint: what to do if they are missing or damaged; by default, to install again.

    Raises:
        WeightsError: missing, or not what their card says.
    """
    path = weights_folder(folder)
    hint = hint or "Install im2hands again, or give another --weights."
    info = _inspect(path, name)
    if not info.found:
        raise WeightsError(f"The weights {name} are missing in {path}.", hint)
    if info.problem:
        raise WeightsError(f"The weights {name}: {info.problem}.", hint)
    return info
