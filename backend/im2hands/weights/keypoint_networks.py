"""The networks that estimate keypoints: one table, one loader.

Each has a weights file, safetensors in half precision, and a card beside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .folder import BUNDLED
from .model_file import load_model, save_model

if TYPE_CHECKING:
    import torch
    from torch import nn

    from im2hands.networks.lifting_network import LiftingNetwork
    from im2hands.networks.pair_judge import PairJudgeNetwork
    from im2hands.networks.reading_network import ReadingNetwork
    from im2hands.networks.two_hand_network import TwoHandNetwork

Network = TypeVar("Network", bound="nn.Module")


@dataclass(frozen=True)
class KeypointNetwork(Generic[Network]):
    """One network: where its class and its weights are.

    Parameters
    ----------
    name : str
        Name of the network, of its module in ``networks`` and of its weights file.
    type_name : str
        Name of its class in that module, imported when it is first used.
    format : str
        Format name that the weights file must have.
    channels_last : bool
        Whether the network computes faster with channels last.
    """

    name: str
    type_name: str
    format: str
    channels_last: bool = False

    @property
    def file(self) -> str:
        """Name of the weights file."""
        return f"{self.name}.safetensors"

    @property
    def bundled(self) -> Path:
        """The bundled weights file."""
        return BUNDLED / self.file

    def beside(self, weights: Path | None) -> Path:
        """Return this network's file beside another network's weights; the bundled file if there is none.

        Networks that were trained together lie in one folder.

        Parameters
        ----------
        weights : Path or None
            Weights file of the other network; None for the bundled file.
        """
        beside = self.bundled if weights is None else weights.parent / self.file
        return beside if beside.is_file() else self.bundled

    def load(self, path: Path | None = None, device: torch.device | None = None) -> Network:
        """Load the network, in evaluation mode.

        Parameters
        ----------
        path : Path or None
            The weights file; None for the bundled one.
        device : torch.device or None
            Device to move the network to; None for the CPU.

        Raises
        ------
        WeightsError
            The file is missing, damaged or made for another network.
        """
        made: Network = getattr(importlib.import_module(f"im2hands.networks.{self.name}"), self.type_name)()
        model: Any = load_model(made, path or self.bundled, self.format, device)
        loaded: Network = model.channels_last() if self.channels_last else model
        return loaded

    def save(self, model: Network, folder: Path, card: Mapping[str, Any]) -> Path:
        """Write the weights file in half precision, and its card with the file's sha256.

        Parameters
        ----------
        model : nn.Module
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
        return save_model(model, folder / self.file, self.format, card)


TWO_HAND: KeypointNetwork[TwoHandNetwork] = KeypointNetwork(
    "two_hand_network", "TwoHandNetwork", "im2hands-two-hand-network-1", channels_last=True
)
READING: KeypointNetwork[ReadingNetwork] = KeypointNetwork(
    "reading_network", "ReadingNetwork", "im2hands-reading-network-1", channels_last=True
)
LIFTING: KeypointNetwork[LiftingNetwork] = KeypointNetwork(
    "lifting_network", "LiftingNetwork", "im2hands-lifting-network-2"
)
PAIR_JUDGE: KeypointNetwork[PairJudgeNetwork] = KeypointNetwork(
    "pair_judge", "PairJudgeNetwork", "im2hands-pair-judge-5"
)
ALL = (TWO_HAND, PAIR_JUDGE, LIFTING, READING)
