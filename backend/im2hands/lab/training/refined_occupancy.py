"""Train the refined occupancy network on a trained initial network: ``im2hands train refined-occupancy``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.errors import InputError
from im2hands.core.hands import SIDES, Side
from im2hands.geometry.bones import QUERY_SCALE
from im2hands.lab.datasets.part_occupancy import STUMP
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.configuration import Configuration
from im2hands.networks.refined_hands import RefinedHands
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.networks.two_hand_picture import PictureFeatures, View
from im2hands.weights.compact import is_compact
from im2hands.weights.layouts import INITIAL_OCCUPANCY, REFINED_OCCUPANCY
from im2hands.weights.published import load_network

from . import command
from .anchors import surface_anchors
from .initial_occupancy import hand_ious, parameter_groups
from .networks import save_further, trained_initial
from .recipe import Recipe
from .runner import scenes_of_step
from .scene_batches import BatchRecipe, HandSamples, SceneBatchTensors, make_batch, moved

NETWORK = "refined-occupancy"
VALIDATION_POINTS = 1024
"""Points of each hand in validation."""

_VALIDATION = 1 << 40  # batch numbers of the validation begin here, above those of all steps


@dataclass(frozen=True, kw_only=True)
class RefinedRecipe(Recipe):
    """The recipe of the refined occupancy network: the fields of ``recipe.Recipe`` and those below.

    Parameters
    ----------
    points : int
        Labelled points of each hand in a step.
    uniform : float
        See ``scene_batches.BatchRecipe``.
    noise : float
        Keypoint noise, metres; see ``scene_batches.BatchRecipe``.
    definition : float
        Strength of the jitter of joint definitions; see ``scene_batches.BatchRecipe``.
    detected : float
        Probability of detected keypoints; see ``scene_batches.BatchRecipe``.
    exact : float
        Probability of exact keypoints; see ``scene_batches.BatchRecipe``.
    simulated : float
        Probability of keypoints with simulated errors; see ``scene_batches.BatchRecipe``.
    augment : float
        Strength of the picture augmentation; see ``augmentation.augment``.
    loss : {"probability", "logit"}
        "probability" is the published mean squared error, "logit" the cross-entropy against
        sigmoid(-distance / softness).
    softness : float
        Width of the soft target of the logit loss, metres.
    penetration : float
        Weight of the penetration loss, the sum of products of both hands' occupancies; 0 turns it off.
    penetration_points : int
        Points of each hand in the penetration loss, those nearest to the other hand; 0 takes all.
    compatibility : bool
        Whether to evaluate the other hand at the places of the published code, which are wrong.
    cut : bool
        Whether the forearm is cut behind the wrist.
    """

    points: int = 2048
    uniform: float = 0.5
    noise: float = 0.0
    definition: float = 0.0
    detected: float = 0.0
    exact: float = 0.0
    simulated: float = 0.0
    augment: float = 0.0
    loss: Literal["probability", "logit"] = "probability"
    softness: float = 0.001
    penetration: float = 0.001
    penetration_points: int = 0
    compatibility: bool = False
    cut: bool = True


PUBLISHED = RefinedRecipe(
    batch=2, learning_rate=1e-4, weight_decay=1e-5, schedule="step", decay=0.2, decay_every=5000, log_every=20,
    checkpoint_every=1000, validate_every=2000,
)  # fmt: skip
COMPACT = RefinedRecipe(
    steps=4000, batch=4, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup=100, betas=(0.9, 0.99),
    weight_decay=1e-4, clip=5.0, ema=0.998, precision="auto", points=384, uniform=0.0, noise=0.004, definition=0.3,
    detected=0.5, augment=1.0, loss="logit", penetration=0.001, penetration_points=96,
)  # fmt: skip
RECIPES = {"published": PUBLISHED, "compact": COMPACT}


class RefinedTask:
    """The training of the refined occupancy network; see ``runner.Task``.

    Only scenes with both hands are used.

    Parameters
    ----------
    configuration : Configuration
        Sizes of the networks.
    recipe : RefinedRecipe
        How to train.
    scenes : SceneSet
        Crops with labelled points; the last ``recipe.held_out`` scenes with both hands are only validated on.
    start : Path, optional
        Folder of ``--start-from`` with a trained initial network. None raises InputError.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        No scene has both hands, or ``start`` is None or does not fit the configuration.
    WeightsError
        The weights in ``start`` are missing or damaged.
    """

    name = REFINED_OCCUPANCY
    terms = ("occupancy", "penetration")
    figures = ("iou", "iou_initial")

    def __init__(
        self, configuration: Configuration, recipe: RefinedRecipe, scenes: SceneSet, start: Path | None,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.configuration, self.recipe, self.scenes, self.device = configuration, recipe, scenes, device
        self.data = {**asdict(scenes.info), "modes": list(scenes.info.modes)}
        both = [int(k) for k in np.flatnonzero(scenes.present().all(axis=1))]
        if not both:
            raise InputError(f"No scene of {scenes.folder} has both hands.", "Use a set with two-hand scenes.")
        held = min(recipe.held_out, len(both) // 2)
        self.train_scenes = both[: len(both) - held]
        self.held_out = both[len(both) - held :] if held else both[:32]
        self.model = _first(configuration, start).to(device)
        assert start is not None  # _first raises InputError without it
        self._start = start
        if isinstance(self.model.image_encoder, CompactEncoder):
            self.model.image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches = BatchRecipe(
            configuration.side, recipe.points, recipe.uniform, recipe.noise, recipe.definition, recipe.detected,
            recipe.exact, recipe.simulated, recipe.augment, cut=recipe.cut, surface=configuration.refined.anchor_count,
        )  # fmt: skip

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        return parameter_groups(self.model, 1.0, 1.0)

    def prepare(self, step: int) -> SceneBatchTensors:
        """See ``runner.Task.prepare``."""
        places = scenes_of_step(len(self.train_scenes), self.recipe.batch, self.recipe.seed, step)
        chosen = [self.train_scenes[place] for place in places]
        return make_batch(self.scenes, chosen, self._batches, self.recipe.seed, step)

    def loss(self, batch: SceneBatchTensors, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        batch, recipe = moved(batch, self.device), self.recipe
        both = self.hands(batch)
        logits, losses = {}, []
        for side in SIDES:
            samples = batch.hands[side]
            initial = both.initial_occupancy(side, samples.points)
            logits[side] = both.logits(side, samples.points, initial).float()
            losses.append(self._occupancy_loss(logits[side], samples))
        occupancy = torch.stack(losses).sum()
        penetration = self._penetration(both, batch, logits) if recipe.penetration else occupancy.new_zeros(())
        terms = {"occupancy": float(occupancy.detach()), "penetration": float(penetration.detach())}
        return occupancy + recipe.penetration * penetration, terms

    def hands(self, batch: SceneBatchTensors) -> RefinedHands:
        """Prepare both hands of a batch for queries, with anchors on the surface of the frozen initial network.

        Parameters
        ----------
        batch : SceneBatchTensors
            B scenes, on the task's device.

        Returns
        -------
        RefinedHands
            The B pairs of hands.
        """
        network, count = self.model, len(batch.image)
        features = self._encoded(batch.image)
        view = View(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3), batch.intrinsics.cpu())
        anchors, bones = {}, {side: batch.hands[side].bones for side in SIDES}
        for side in SIDES:
            with torch.no_grad():
                initial = network.init_occ.hand(side, features.initial, bones[side], intrinsics=batch.intrinsics)
            on_surface = surface_anchors(initial, batch.hands[side].surface)
            anchors[side] = bones[side].from_query_space(on_surface.cpu())
        return network.hands(features, bones, view, anchors)

    def _encoded(self, image: Tensor) -> PictureFeatures:
        if isinstance(self.model.image_encoder, CompactEncoder):
            image = image.contiguous(memory_format=torch.channels_last)
        return self.model.encode(image)

    def _occupancy_loss(self, logits: Tensor, samples: HandSamples) -> Tensor:
        distance = samples.distance
        if self.recipe.loss == "probability":
            return functional.mse_loss(torch.sigmoid(logits), (distance < 0).to(logits))
        target = torch.sigmoid(-distance / self.recipe.softness)
        if self.recipe.cut:
            # The logit of the initial network drops to -14 right behind the cut. A soft target there would make the
            # correction learn +14: one point in a hundred would give a third of the loss, for no gain.
            target = target.masked_fill(samples.points[..., 0] * QUERY_SCALE > STUMP, 0.0)
        return functional.binary_cross_entropy_with_logits(logits, target)

    def _penetration(self, both: RefinedHands, batch: SceneBatchTensors, logits: Mapping[Side, Tensor]) -> Tensor:
        """Sum over points of the product of both hands' occupancies."""
        total, few = batch.image.new_zeros(()), self.recipe.penetration_points
        for side, other in zip(SIDES, reversed(SIDES), strict=True):
            samples = batch.hands[side]
            points, own = samples.points, torch.sigmoid(logits[side])
            if 0 < few < points.shape[1]:
                near = samples.other.nan_to_num(nan=1.0).topk(few, largest=False).indices
                points = points.gather(1, near[..., None].expand(-1, -1, 3))
                own = own.gather(1, near)
            theirs = both.occupancy_at_other(other, points, compatibility=self.recipe.compatibility)
            total = total + (own * theirs).sum()
        return total

    def validate(self) -> dict[str, float]:
        """Measure the mean intersection over union (IoU) of the held-out hands.

        Returns
        -------
        dict of str to float
            ``iou``: refined occupancy, at points evenly spread over the hand's box, with keypoints as inexact as in
            training. ``iou_initial``: the same of the initial occupancy.
        """
        batches = replace(self._batches, points=VALIDATION_POINTS, uniform=0.0, box_only=True, augment=0.0)
        refined, first, size = [], [], self.recipe.batch
        for start in range(0, len(self.held_out), size):
            chosen = self.held_out[start : start + size]
            batch = moved(make_batch(self.scenes, chosen, batches, self.recipe.seed, _VALIDATION + start), self.device)
            both = self.hands(batch)
            for side in SIDES:
                samples = batch.hands[side]
                initial = both.initial_occupancy(side, samples.points)
                occupancy = torch.sigmoid(both.logits(side, samples.points, initial))
                truth = samples.distance < 0
                refined.append(hand_ious(occupancy > self.model.sizes.threshold, truth))
                first.append(hand_ious(initial > 0.5, truth))
        return {"iou": float(torch.cat(refined).mean()), "iou_initial": float(torch.cat(first).mean())}

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``; the networks it builds on are copied beside it."""
        about = {"network": "two-hand refinement network", "licence": "Apache-2.0"}
        beside = (INITIAL_OCCUPANCY,) if (self._start / f"{INITIAL_OCCUPANCY}.json").exists() else ()
        save_further(
            self.name, self.model, self.configuration, folder, {**about, **card}, self._start, beside
        )  # fmt: skip


def _first(configuration: Configuration, start: Path | None) -> RefinedOccupancy:
    """The network before the first step: it contains the frozen initial network and starts with its image encoder.

    A refined network in the folder is trained further, on the initial network beside it if there is one.
    """
    if start is not None and configuration.shared_encoder and is_compact(REFINED_OCCUPANCY, start):
        trained = cast(RefinedOccupancy, load_network(REFINED_OCCUPANCY, start)).requires_grad_(True)
        if (start / f"{INITIAL_OCCUPANCY}.safetensors").exists():
            initial = trained_initial(configuration, start)
            initial.image_encoder = trained.image_encoder
            trained.init_occ, trained.sizes = initial, replace(trained.sizes, initial=initial.sizes)
        trained.init_occ.requires_grad_(False)
        trained.image_encoder.requires_grad_(False)
        return trained
    initial = trained_initial(configuration, start)
    encoder = initial.image_encoder if isinstance(initial.image_encoder, CompactEncoder) else None
    network = configuration.make_refined(encoder)
    network.init_occ.load_state_dict(initial.state_dict())
    if encoder is None:
        network.image_encoder.load_state_dict(initial.image_encoder.state_dict())
    # The layer that mixes the feature maps has the same function in both networks.
    network.image_final_layer.load_state_dict(initial.image_final_layer.state_dict())
    network.init_occ.requires_grad_(False)
    return network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train refined-occupancy``."""
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train refined-occupancy`` and return the exit code."""
    return command.run(arguments, NETWORK, RECIPES, RefinedTask)
