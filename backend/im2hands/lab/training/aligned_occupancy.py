"""Trains the HALO* baseline on the encoder of a trained initial network: ``im2hands train aligned-occupancy``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from im2hands.core.errors import InputError
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.weights.compact import ALIGNED_OCCUPANCY, start_from_part_occupancy

from . import command
from .initial_occupancy import COMPACT as INITIAL_COMPACT
from .initial_occupancy import InitialTask, parameter_groups
from .networks import save_further, trained_initial
from .scene_batches import SceneBatchTensors

NETWORK = "aligned-occupancy"
COMPACT = replace(INITIAL_COMPACT, steps=3000, heatmap=0.0, mask=0.0, dense=0.0)
RECIPES = {"published": COMPACT, "compact": COMPACT}


class AlignedTask(InitialTask):
    """The training of the HALO* baseline; see :class:`.runner.Task`.

    The encoder stays as the initial network's training left it, so both can be compared and pictures are encoded once.

    Raises:
        InputError: ``start`` is missing, or its networks are not compact ones. WeightsError: they are damaged.
    """

    name = ALIGNED_OCCUPANCY
    _start: Path

    def first(self, start: Path | None) -> InitialOccupancy:
        """The network before the first step: the bundled part decoders, the image without a say."""
        if not self.configuration.shared_encoder:
            raise InputError("The HALO* baseline exists in the compact configuration only.", "Give --config compact.")
        encoder = trained_initial(self.configuration, start).image_encoder
        assert start is not None
        self._start = start
        network = self.configuration.make_aligned(encoder)
        start_from_part_occupancy(network)
        encoder.requires_grad_(False)
        return network

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See :class:`.runner.Task`."""
        self.model.image_encoder.requires_grad_(False)
        return parameter_groups(self.model, self.recipe.encoder_rate, self.recipe.decoder_rate)

    def loss(self, batch: SceneBatchTensors, step: int) -> tuple[Tensor, dict[str, float]]:
        """See :class:`.runner.Task`."""
        self.model.image_encoder.eval()  # its running averages are not this training's
        return super().loss(batch, step)

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See :class:`.runner.Task`."""
        about = {"network": "HALO* baseline (pixel-aligned image features)", "licence": "Apache-2.0"}
        save_further(self.name, self.model, self.configuration, folder, {**about, **card}, self._start)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``im2hands train aligned-occupancy``."""
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train aligned-occupancy``; returns the exit code."""
    return command.run(arguments, NETWORK, RECIPES, AlignedTask)
