"""Train the HALO* baseline (pixel-aligned image features): ``im2hands train aligned-occupancy``.

The baseline uses the image encoder of a trained initial occupancy network.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from im2hands.core.errors import InputError
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.weights.compact import ALIGNED_OCCUPANCY, start_from_part_occupancy

from . import command
from .initial_occupancy import COMPACT as INITIAL_COMPACT
from .initial_occupancy import InitialTask
from .networks import save_further, trained_initial

NETWORK = "aligned-occupancy"
COMPACT = replace(INITIAL_COMPACT, steps=3000, heatmap=0.0, mask=0.0, dense=0.0, train_encoder=False)
RECIPES = {"published": COMPACT, "compact": COMPACT}


class AlignedTask(InitialTask):
    """The training of the HALO* baseline; see ``runner.Task``.

    The parameters are those of ``initial_occupancy.InitialTask``.

    The image encoder is frozen as the initial network's training left it. So the two networks can be compared, and one
    encoding of a picture serves both.

    Raises
    ------
    InputError
        The configuration is not compact, or ``start`` is None or holds networks of another configuration.
    WeightsError
        The weights in ``start`` are missing or damaged.
    """

    name = ALIGNED_OCCUPANCY

    def first(self, start: Path | None) -> InitialOccupancy:
        """Build the network before the first step.

        Its part decoders have the bundled weights; the image features have no effect until they are trained.

        Parameters
        ----------
        start : Path, optional
            Folder of ``--start-from`` with a trained initial network. None raises InputError.

        Returns
        -------
        InitialOccupancy
            The network, its image encoder frozen.

        Raises
        ------
        InputError
            The configuration is not compact, or ``start`` cannot be used.
        """
        if not self.configuration.shared_encoder:
            raise InputError("The HALO* baseline exists in the compact configuration only.", "Give --config compact.")
        encoder = trained_initial(self.configuration, start).image_encoder
        network = self.configuration.make_aligned(encoder)
        start_from_part_occupancy(network)
        encoder.requires_grad_(False)
        return network

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``; the image encoder is copied beside the weights."""
        assert self._start is not None
        about = {"network": "HALO* baseline (pixel-aligned image features)", "licence": "Apache-2.0"}
        save_further(self.name, self.model, self.configuration, folder, {**about, **card}, self._start)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train aligned-occupancy``."""
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train aligned-occupancy`` and return the exit code."""
    return command.run(arguments, NETWORK, RECIPES, AlignedTask)
