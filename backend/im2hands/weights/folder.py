"""Weights folders: the bundled weights, their cards, and how weights are found and verified."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from im2hands.core.errors import WeightsError
from im2hands.core.files import read_regular
from im2hands.core.person_path import person_path

BUNDLED = Path(__file__).parent / "bundled"
"""Folder of the weights that ship with the package."""

IMAGE_ENCODER = "image_encoder"
"""Name of the image encoder that the compact networks of a folder share."""

_NEEDED = ("part_occupancy",)


@dataclass(frozen=True)
class WeightsInfo:
    """Weights of one network as found on disk.

    Parameters
    ----------
    name : str
        Name of the network.
    path : Path
        The weights file.
    sha256 : str
        sha256 of the file on disk; "" if it is missing.
    found : bool
        Whether the file exists.
    problem : str
        What is wrong, in words; "" if nothing is.
    card : dict
        The model card.
    """

    name: str
    path: Path
    sha256: str
    found: bool
    problem: str
    card: dict[str, Any] = field(default_factory=dict)


def weights_folder(folder: str | Path = "bundled") -> Path:
    """Return the folder that an argument of ``--weights`` stands for.

    Parameters
    ----------
    folder : str or Path
        A folder, or "bundled" for the bundled weights.

    Raises
    ------
    WeightsError
        There is no such folder.
    """
    path = BUNDLED if str(folder) == "bundled" else person_path(folder)
    if not path.is_dir():
        raise WeightsError(f"There is no weights folder {path}.", 'Give a folder, or "bundled" for those that ship.')
    return path


def list_weights(folder: str | Path = "bundled") -> list[WeightsInfo]:
    """List the networks of a weights folder, each verified against the sha256 of its card.

    A network is listed if it has a card or a weights file. The networks that the program needs are also listed, as
    missing, in the bundled folder and in an empty one. A folder with other networks, such as imported ones, is complete
    as it is.

    Parameters
    ----------
    folder : str or Path
        A folder, or "bundled".

    Returns
    -------
    list of WeightsInfo
        The networks, sorted by name.

    Raises
    ------
    WeightsError
        There is no such folder.
    """
    path = weights_folder(folder)
    names = {file.stem for pattern in ("*.json", "*.safetensors") for file in path.glob(pattern)}
    if not names or path.resolve() == BUNDLED.resolve():
        names |= set(_NEEDED)
    return [_inspect(path, name) for name in sorted(names)]


def read_card(path: Path) -> dict[str, Any]:
    """Read the card of a weights file.

    Parameters
    ----------
    path : Path
        The card.

    Returns
    -------
    dict
        Its entries, with a ``sha256`` to verify the weights by.

    Raises
    ------
    OSError
        The card is missing or cannot be read.
    ValueError
        It is no JSON object, or its ``sha256`` is missing or none.
    """
    try:
        card = json.loads(read_regular(path).decode("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(card, dict):
        raise ValueError("it is no JSON object")
    if not isinstance(card.get("sha256"), str) or not card["sha256"]:
        raise ValueError("it has no sha256 of the weights")
    return card


def _inspect(folder: Path, name: str) -> WeightsInfo:
    """Find and verify the weights of one network."""
    from im2hands.core.files import sha256_of

    card_path, path = folder / f"{name}.json", folder / f"{name}.safetensors"
    card: dict[str, Any] = {}
    problem = ""
    try:
        card = read_card(card_path)
    except FileNotFoundError:
        problem = f"its card {card_path.name} is missing"
    except (OSError, ValueError) as error:
        problem = f"its card {card_path.name} cannot be read ({error})"
    try:
        digest = sha256_of(path)
    except FileNotFoundError:
        return WeightsInfo(name, path, "", False, f"{path} is missing", card)
    except OSError as error:
        return WeightsInfo(name, path, "", True, f"{path} cannot be read: {error.strerror or error}", card)
    if card and digest != card["sha256"]:
        problem = f"{path} is damaged or changed: its sha256 is {digest[:12]}…, the card says {card['sha256'][:12]}…"
    return WeightsInfo(name, path, digest, True, problem, card)


def require_weights(name: str, folder: str | Path = "bundled", hint: str = "") -> WeightsInfo:
    """Find and verify the weights of one network.

    Parameters
    ----------
    name : str
        Name of the network.
    folder : str or Path
        A folder, or "bundled".
    hint : str
        What to do if the weights are missing or damaged; "" for the advice to install again.

    Returns
    -------
    WeightsInfo
        The verified weights.

    Raises
    ------
    WeightsError
        The weights are missing or do not match their card.
    """
    path = weights_folder(folder)
    hint = hint or "Install im2hands again, or give another --weights."
    info = _inspect(path, name)
    if not info.found:
        raise WeightsError(f"The weights {name} are missing in {path}.", hint)
    if info.problem:
        raise WeightsError(f"The weights {name}: {info.problem}.", hint)
    return info
