"""Which build of PyTorch fits the NVIDIA cards of a machine. Read by the add-on and by ``dev.py``; imports nothing of
either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

QUERY = ("--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
"""Arguments of ``nvidia-smi``, whose output :func:`read_cards` reads."""

# PyTorch 2.13 is built for CUDA 13.0 and for CUDA 12.6. Each needs a card and a driver that are new enough; the older
# one has no code for the newest cards. (PyTorch's release notes; NVIDIA's CUDA compatibility guide.)
_NEW, _OLD = "cu130", "cu126"
_NEW_CARD, _NEW_DRIVER = (7, 5), 580
_OLD_CARD, _OLD_DRIVER, _OLD_LAST = (5, 0), 528, (9, 0)


@dataclass(frozen=True)
class Card:
    """A card as ``nvidia-smi`` lists it.

    Parameters
    ----------
    name : str
        Its name.
    capability : (int, int)
        Compute capability; (0, 0) if it is not known.
    driver : int
        First number of the driver's version; 0 if it is not known.
    """

    name: str
    capability: tuple[int, int]
    driver: int


@dataclass(frozen=True)
class Build:
    """A build of PyTorch.

    Parameters
    ----------
    backend : str
        "cpu", "cu130" or "cu126", as ``uv --torch-backend`` names it.
    why : str
        Why it is not the build for new cards; empty if it is, or without a card.
    """

    backend: str
    why: str = ""


def read_cards(text: str) -> list[Card]:
    """Read the answer of ``nvidia-smi`` to :data:`QUERY`.

    Parameters
    ----------
    text : str
        Its output.

    Returns
    -------
    list of Card
        The cards. Lines that are no cards are left out.
    """
    cards = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) == 3 and parts[2][:1].isdigit():
            major, _, minor = parts[1].partition(".")
            known = major.isdigit() and minor.isdigit()
            capability = (int(major), int(minor)) if known else (0, 0)
            cards.append(Card(parts[0], capability, int(parts[2].partition(".")[0])))
    return cards


def build_for(cards: Sequence[Card]) -> Build:
    """Choose the build for the cards of a machine: for the newest one, as PyTorch leaves out those that it cannot use.

    Parameters
    ----------
    cards : sequence of Card
        The cards.

    Returns
    -------
    Build
        The build.
    """
    if not cards:
        return Build("cpu")
    card = max(cards, key=lambda one: one.capability)
    new_card = card.capability >= _NEW_CARD or card.capability == (0, 0)
    if new_card and card.driver >= _NEW_DRIVER:
        return Build(_NEW)
    if not new_card and card.capability < _OLD_CARD:
        return Build("cpu", f"the {card.name} is too old for PyTorch")
    if card.driver < _OLD_DRIVER:
        return Build("cpu", f"the NVIDIA driver {card.driver} is too old; update it to use the {card.name}")
    if not new_card:
        return Build(_OLD, f"the {card.name} is too old for newer CUDA")
    if card.capability > _OLD_LAST:
        return Build("cpu", f"the NVIDIA driver {card.driver} is too old; update it to use the {card.name}")
    return Build(_OLD, f"the NVIDIA driver {card.driver} is too old for newer CUDA")


def ways(system: str, backend: str, version: str) -> list[tuple[str, list[str]]]:
    """List the ways to install a build, in the order in which to try them.

    Parameters
    ----------
    system : str
        Name of the operating system, see ``platform.system``.
    backend : str
        The build, as :class:`Build` has it.
    version : str
        Version of torch.

    Returns
    -------
    list of (str, list of str)
        Installer ("pip" or "uv") and the arguments of its install command.
    """
    plain = f"torch=={version}"
    if system == "Darwin" or (system == "Windows" and backend == "cpu") or (system == "Linux" and backend == _NEW):
        return [("pip", [plain])]  # that is the build in the package index
    first = [("pip", [f"{plain}+{backend}"])]  # a person's pip settings may offer it; else uv knows where it is
    return [*first, ("uv", ["--torch-backend", backend, plain])]
