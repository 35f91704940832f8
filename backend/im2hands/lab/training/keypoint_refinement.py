"""Train the keypoint refinement network: ``im2hands train keypoint-refinement``."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.configuration import Configuration
from im2hands.networks.image_encoder import PictureEncoder
from im2hands.networks.keypoint_refinement import KeypointRefinement, keypoint_distances, keypoint_error, keypoint_loss
from im2hands.weights.layouts import INTAGHAND_ENCODER, KEYPOINT_REFINEMENT
from im2hands.weights.published import load_network, load_published

from . import command
from .augmentation import augment
from .keypoint_errors import KeypointErrors, simulate_errors
from .keypoint_pairs import KeypointPairs, make_pairs, scenes_with_two_hands
from .networks import save_further, trained_initial, xavier
from .recipe import Recipe
from .runner import scenes_of_step, stream, torch_stream

NETWORK = "keypoint-refinement"
_VALIDATION = 1 << 40  # batch numbers of the validation begin here, above those of all steps


@dataclass(frozen=True, kw_only=True)
class KeypointRecipe(Recipe):
    """The recipe of the keypoint refinement network: the fields of ``recipe.Recipe`` and those below.

    Parameters
    ----------
    loss : {"squared", "distance"}
        "squared" is the published loss, in square millimetres. "distance" is the mean distance; completely wrong
        fingers dominate it less.
    frozen : bool
        Whether the image encoder, which networks may share, stays unchanged.
    head_rate : float
        Factor on the learning rate of the output head. The compact head works in decimetres, where a step at the full
        rate would move keypoints by more than their error.
    augment : float
        Strength of the picture augmentation; see ``augmentation.augment``.
    detected : float
        Probability that a hand uses the detected keypoints of the set, where the set has them. Otherwise errors are
        simulated with the sizes below.
    noise : float
        See ``keypoint_errors.KeypointErrors``, as for all fields that follow.
    definition : float
        Strength of the jitter of joint definitions.
    tilt : float
        Tilt of the hand, radians.
    place : float
        Shift of the hand along the viewing ray, metres.
    depth : float
        Shift of the fingertips along the viewing ray, metres.
    bend : float
        Bend of each joint, radians.
    hidden : float
        Probability that a finger is completely wrong.
    lost : float
        Bends of a completely wrong finger, radians.
    """

    loss: Literal["squared", "distance"] = "squared"
    frozen: bool = False
    head_rate: float = 1.0
    augment: float = 0.0
    detected: float = 1.0
    noise: float = KeypointErrors.noise
    definition: float = KeypointErrors.definition
    tilt: float = KeypointErrors.tilt
    place: float = KeypointErrors.place
    depth: float = KeypointErrors.depth
    bend: float = KeypointErrors.bend
    hidden: float = KeypointErrors.hidden
    lost: float = KeypointErrors.lost

    @property
    def errors(self) -> KeypointErrors:
        """Sizes of the simulated errors."""
        return KeypointErrors(
            self.noise, self.definition, self.tilt, self.place, self.depth, self.bend, self.hidden, self.lost
        )


PUBLISHED = KeypointRecipe(batch=32, learning_rate=1e-4, log_every=20, checkpoint_every=200, validate_every=1000)
COMPACT = KeypointRecipe(
    steps=6000, batch=16, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup=200, betas=(0.9, 0.99),
    weight_decay=1e-4, ema=0.998, precision="auto", loss="distance", frozen=True, head_rate=0.1,
    augment=1.0, detected=0.7,
)  # fmt: skip
RECIPES = {"published": PUBLISHED, "compact": COMPACT}


class KeypointTask:
    """The training of the keypoint refinement network; see ``runner.Task``.

    Only scenes with both hands are used. The compact network uses the frozen image encoder of a trained initial
    network, which must be in ``start``. The published network begins with ``intaghand_encoder`` of ``start`` if the
    folder has it. If ``start`` holds a keypoint refinement network of the same sizes, the training continues from its
    weights.

    Parameters
    ----------
    configuration : Configuration
        Sizes of the networks.
    recipe : KeypointRecipe
        How to train.
    scenes : SceneSet
        Crops; the last ``recipe.held_out`` scenes with both hands are only validated on.
    start : Path, optional
        Folder of ``--start-from``.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        No scene has both hands, or ``start`` is missing or does not fit the configuration.
    WeightsError
        The weights in ``start`` are missing or damaged.
    """

    name = KEYPOINT_REFINEMENT
    terms = ("distance", "input_distance")
    figures = ("jpe", "in_jpe")

    def __init__(
        self, configuration: Configuration, recipe: KeypointRecipe, scenes: SceneSet, start: Path | None,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.configuration, self.recipe, self.scenes, self.device = configuration, recipe, scenes, device
        self.data = {**asdict(scenes.info), "modes": list(scenes.info.modes)}
        pairs = scenes_with_two_hands(scenes)
        held = min(recipe.held_out, len(pairs) // 2)
        self._rows = pairs[: len(pairs) - held]
        self._held_out = pairs[len(pairs) - held :] if held else pairs[:32]
        self._start = start
        network = _first(configuration, start)
        network.image_encoder.requires_grad_(not recipe.frozen)
        self.model: KeypointRefinement = network.to(device)
        if isinstance(network.image_encoder, CompactEncoder):
            network.image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        head = list(self.model.left_reg.parameters())
        in_head = {id(parameter) for parameter in head}
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        others = [parameter for parameter in trained if id(parameter) not in in_head]
        return [(1.0, others), (self.recipe.head_rate, head)]

    def prepare(self, step: int) -> KeypointPairs:
        """See ``runner.Task.prepare``."""
        recipe = self.recipe
        rows = scenes_of_step(len(self._rows), recipe.batch, recipe.seed, step)
        return self._pairs(self._rows[rows], step, recipe)

    def loss(self, batch: KeypointPairs, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        batch = batch.to(self.device)
        output = self._refined(batch)
        squared = self.recipe.loss == "squared"
        loss = keypoint_loss(output, batch.target) if squared else keypoint_distances(output, batch.target).sum()
        distances = keypoint_error(output.detach(), batch.target), keypoint_error(batch.relative, batch.target)
        return loss, dict(zip(self.terms, map(float, distances), strict=True))

    def validate(self) -> dict[str, float]:
        """Measure the mean keypoint error on the held-out scenes.

        Returns
        -------
        dict of str to float
            ``jpe``: mean distance of the refined keypoints from the true ones, millimetres, each hand relative to its
            middle knuckle. ``in_jpe``: the same of the detected keypoints.
        """
        plain = replace(self.recipe, augment=0.0)
        sums, count = np.zeros(2), 0
        for first in range(0, len(self._held_out), plain.batch):
            rows = self._held_out[first : first + plain.batch]
            batch = self._pairs(rows, _VALIDATION + first, plain).to(self.device)
            errors = keypoint_error(self._refined(batch), batch.target), keypoint_error(batch.relative, batch.target)
            sums += len(rows) * np.array([float(error) for error in errors])
            count += len(rows)
        return {name: float(value) for name, value in zip(self.figures, sums / count, strict=True)}

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``."""
        about = {"network": "keypoint refinement network", "licence": "Apache-2.0"}
        start = self._start or folder
        save_further(self.name, self.model, self.configuration, folder, {**about, **card}, start)

    def _pairs(self, rows: np.ndarray, number: int, recipe: KeypointRecipe) -> KeypointPairs:
        rng, generator = stream(recipe.seed, number, 1), torch_stream(recipe.seed, number, 2)

        def detector(keypoints: Tensor, visible: Tensor) -> Tensor:
            return simulate_errors(keypoints, generator, recipe.errors, visible)

        take = rng.random((len(rows), 2)) < recipe.detected
        change = partial(augment, rng=rng, strength=recipe.augment)
        return make_pairs([self.scenes.scene(int(row)) for row in rows], detector, take_detected=take, change=change)

    def _refined(self, batch: KeypointPairs) -> Tensor:
        """The network's output, (B, 2, 21, 3) float32 millimetres."""
        model, image = self.model, batch.image
        if self.recipe.frozen:
            model.image_encoder.eval()  # keeps its running averages unchanged too
        if isinstance(model.image_encoder, CompactEncoder):
            image = image.contiguous(memory_format=torch.channels_last)
        features = model.image_features(model.image_encoder(image))
        # bfloat16 resolves only about a millimetre at the length of a hand.
        with torch.autocast(self.device.type, enabled=False):
            return model.refine(batch.relative.float(), features.float())[0]


def _first(configuration: Configuration, start: Path | None) -> KeypointRefinement:
    """The network before the first step."""
    if start is not None and (start / f"{KEYPOINT_REFINEMENT}.safetensors").exists():
        network = cast(KeypointRefinement, load_network(KEYPOINT_REFINEMENT, start))
        if network.sizes == configuration.keypoints:
            return network.requires_grad_(True)
    if configuration.shared_encoder:
        encoder: PictureEncoder = trained_initial(configuration, start).image_encoder
        network = configuration.make_keypoints(encoder)
        if network.sizes.residual:  # with a zero head the network returns its input
            nn.init.zeros_(cast(nn.Conv1d, network.left_reg[-1]).weight)
            nn.init.zeros_(cast(Tensor, network.left_reg[-1].bias))
        return network
    network = configuration.make_keypoints(None)
    xavier(network)
    if start is not None and (start / f"{INTAGHAND_ENCODER}.safetensors").exists():
        network.image_encoder.load_state_dict(load_published(INTAGHAND_ENCODER, start))
    return network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train keypoint-refinement``."""
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train keypoint-refinement`` and return the exit code."""
    return command.run(arguments, NETWORK, RECIPES, KeypointTask, labelled=False)
