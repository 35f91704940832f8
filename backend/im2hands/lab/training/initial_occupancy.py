"""Train the initial occupancy network and the compact image encoder: ``im2hands train initial-occupancy``."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.hands import SIDES, Side
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.compact_encoder import CompactEncoder
from im2hands.networks.configuration import Configuration
from im2hands.networks.image_encoder import EncoderMaps
from im2hands.networks.initial_hand import InitialHand
from im2hands.networks.initial_occupancy import ImageFeatures, InitialOccupancy
from im2hands.networks.part_decoder import PartDecoder
from im2hands.networks.refined_occupancy import RefinedOccupancy
from im2hands.weights.compact import is_compact, start_from_part_occupancy
from im2hands.weights.folder import weights_folder
from im2hands.weights.layouts import INITIAL_OCCUPANCY, REFINED_OCCUPANCY
from im2hands.weights.published import initial_occupancy_start, load_network

from . import command
from .networks import first_trunk, save_first, save_further, trained_initial, xavier
from .part_loss import part_loss
from .picture_targets import picture_losses
from .recipe import Recipe
from .runner import scenes_of_step
from .scene_batches import BatchRecipe, HandSamples, SceneBatchTensors, make_batch, moved

NETWORK = "initial-occupancy"
VALIDATION_POINTS = 1024
"""Points of each hand in validation."""

_VALIDATION = 1 << 40  # batch numbers of the validation begin here, above those of all steps


@dataclass(frozen=True, kw_only=True)
class InitialRecipe(Recipe):
    """The recipe of the initial network: the fields of ``recipe.Recipe`` and those below.

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
        "probability" is the published mean squared error, "logit" the cross-entropy of ``part_loss``.
    softness : float
        Width of the soft target of the logit loss, metres.
    part_weight : float
        Weight of the part loss at the first step; it falls to 0 at half of the steps.
    claim_weight : float
        Weight of the claim loss at the first step; it falls to 0 at 40 % of the steps.
    cut : bool
        Whether the forearm is cut behind the wrist.
    encoder_rate : float
        Factor on the learning rate of the image encoder's trunk.
    decoder_rate : float
        Factor on the learning rate of the part decoders.
    train_encoder : bool
        Whether the image encoder is trained; else it stays as it is, for other networks that share it.
    frozen_blocks : int
        Number of frozen blocks of the compact trunk, counted from the picture; 0 trains all.
    heatmap : float
        Weight of the encoder's heat map loss.
    mask : float
        Weight of the encoder's mask loss.
    dense : float
        Weight of the encoder's dense colour loss.
    start : {"published", "bundled", "random"}
        First weights. "published": Xavier, then ``halo_baseline`` and ``intaghand_encoder`` of ``--start-from`` where
        the folder has them. "bundled": PyTorch's defaults, the trunk of a two-hand network or of ImageNet, and the
        bundled part decoders. "random": PyTorch's defaults. A trained initial network in ``--start-from`` takes
        precedence over all three, also one within a refined network.
    parts : str
        Folder with part occupancy weights, or "bundled", for the part decoders of a trained initial network in
        ``--start-from``; the columns that read image features stay. Empty: all its weights stay.
    """

    points: int = 4096
    uniform: float = 0.5
    noise: float = 0.0
    definition: float = 0.0
    detected: float = 0.0
    exact: float = 0.0
    simulated: float = 0.0
    augment: float = 0.0
    loss: Literal["probability", "logit"] = "probability"
    softness: float = 0.001
    part_weight: float = 0.0
    claim_weight: float = 0.0
    cut: bool = True
    encoder_rate: float = 1.0
    decoder_rate: float = 1.0
    train_encoder: bool = True
    frozen_blocks: int = 0
    heatmap: float = 0.0
    mask: float = 0.0
    dense: float = 0.0
    start: Literal["published", "bundled", "random"] = "published"
    parts: str = ""


PUBLISHED = InitialRecipe(
    batch=8, learning_rate=1e-5, points=4096, log_every=20, checkpoint_every=1000, validate_every=1000
)
COMPACT = InitialRecipe(
    steps=6000, batch=8, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup=200, betas=(0.9, 0.99),
    weight_decay=1e-4, clip=5.0, ema=0.998, precision="auto", points=512, uniform=0.0, noise=0.004, definition=0.3,
    detected=0.5, augment=1.0, loss="logit", claim_weight=0.1, encoder_rate=0.3, decoder_rate=0.5, frozen_blocks=3,
    heatmap=0.05, mask=0.2, dense=0.1, start="bundled",
)  # fmt: skip
RECIPES = {"published": PUBLISHED, "compact": COMPACT}


class InitialTask:
    """The training of the initial network; see ``runner.Task``.

    Parameters
    ----------
    configuration : Configuration
        Sizes of the networks.
    recipe : InitialRecipe
        How to train.
    scenes : SceneSet
        Crops with labelled points; the last ``recipe.held_out`` scenes are only validated on.
    start : Path, optional
        Folder of ``--start-from``; see ``InitialRecipe.start``.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        The networks in ``start`` do not fit the configuration.
    WeightsError
        The weights in ``start`` are damaged.
    SetupError
        The package with the ImageNet weights is not installed.
    """

    name = INITIAL_OCCUPANCY
    figures = ("iou", "iou_near", "iou_noisy")

    def __init__(
        self, configuration: Configuration, recipe: InitialRecipe, scenes: SceneSet, start: Path | None,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.configuration, self.recipe, self.scenes, self.device = configuration, recipe, scenes, device
        self.data = {**asdict(scenes.info), "modes": list(scenes.info.modes)}
        held = min(recipe.held_out, len(scenes) // 2)
        self.train_count = len(scenes) - held
        self.held_out = list(range(self.train_count, len(scenes))) if held else list(range(min(len(scenes), 32)))
        self._start = start
        self.model: InitialOccupancy = self.first(start).to(device)
        encoder = self.model.image_encoder
        maps = 0
        if isinstance(encoder, CompactEncoder):
            encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            encoder.trunk.freeze(recipe.frozen_blocks)
        if recipe.heatmap or recipe.mask or recipe.dense:
            maps = encoder.sizes.finest
        self.terms = ("occupancy", *(("heatmap", "mask") if maps else ()), *(("dense",) if recipe.dense else ()))
        self._batches = BatchRecipe(
            configuration.side, recipe.points, recipe.uniform, recipe.noise, recipe.definition, recipe.detected,
            recipe.exact, recipe.simulated, recipe.augment, maps, recipe.dense > 0, recipe.cut,
        )  # fmt: skip

    def first(self, start: Path | None) -> InitialOccupancy:
        """Build the network before the first step; ``start`` is the folder of ``--start-from``, or None."""
        return _first(self.configuration, self.recipe, start)

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        if not self.recipe.train_encoder:
            self.model.image_encoder.requires_grad_(False)
        return parameter_groups(self.model, self.recipe.encoder_rate, self.recipe.decoder_rate)

    def prepare(self, step: int) -> SceneBatchTensors:
        """See ``runner.Task.prepare``."""
        indices = scenes_of_step(self.train_count, self.recipe.batch, self.recipe.seed, step)
        return make_batch(self.scenes, indices, self._batches, self.recipe.seed, step)

    def loss(self, batch: SceneBatchTensors, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        batch, model, recipe = moved(batch, self.device), self.model, self.recipe
        image = batch.image
        if not recipe.train_encoder:
            model.image_encoder.eval()  # keeps the running averages of the frozen encoder unchanged
        if isinstance(model.image_encoder, CompactEncoder):
            image = image.contiguous(memory_format=torch.channels_last)
        maps = model.image_encoder(image)
        features = model.encode(image, maps)
        occupancy = sum(
            (self._hand_loss(self.hand(batch, features, side), batch, side, step) for side in SIDES),
            torch.zeros((), device=self.device),
        )
        total, terms = occupancy, {"occupancy": float(occupancy.detach())}
        for name, value in self._encoder_losses(maps, batch).items():
            total = total + getattr(recipe, name) * value
            terms[name] = float(value.detach())
        return total, terms

    def hand(self, batch: SceneBatchTensors, features: ImageFeatures, side: Side) -> InitialHand:
        """Prepare the hands of one side of a batch for queries.

        Parameters
        ----------
        batch : SceneBatchTensors
            B scenes.
        features : ImageFeatures
            Encoded pictures of the batch.
        side : Side
            The person's own left or right hand.

        Returns
        -------
        InitialHand
            The B hands of that side.
        """
        return self.model.hand(side, features, batch.hands[side].bones, intrinsics=batch.intrinsics)

    def _encoder_losses(self, maps: EncoderMaps, batch: SceneBatchTensors) -> dict[str, Tensor]:
        return picture_losses(self.model.image_encoder.heads(maps), batch.targets) if batch.targets else {}

    def _hand_loss(self, hand: InitialHand, batch: SceneBatchTensors, side: Side, step: int) -> Tensor:
        samples, present = batch.hands[side], batch.present[:, SIDES.index(side)]
        if self.recipe.loss == "probability":
            return probability_loss(hand.occupancy(samples.points), samples, present)
        recipe, progress = self.recipe, step / self.recipe.steps
        near = hand.near(samples.points) & present[:, None, None]
        image = hand.image_features(hand.point_features(samples.points)).float()
        # ``part_loss`` is a mean over all B hands; absent hands add nothing, so divide by the share of present ones.
        share = present.float().mean().clamp_min(1e-6)
        return part_loss(
            hand.folded, hand.bone_local(samples.points), near, samples.distance, samples.part, recipe.softness,
            part_weight=recipe.part_weight * max(0.0, 1 - 2 * progress),
            claim_weight=recipe.claim_weight * max(0.0, 1 - 2.5 * progress), image=image,
        ) / share  # fmt: skip

    def validate(self) -> dict[str, float]:
        """Measure the mean intersection over union (IoU) of the held-out hands.

        Returns
        -------
        dict of str to float
            ``iou``: at points evenly spread over the hand's box, with exact keypoints. ``iou_near``: at all points of
            the set, two thirds of which lie close to the surface, with exact keypoints. ``iou_noisy``: as ``iou``, with
            keypoints as inexact as in training.
        """
        exact = replace(
            self._batches,
            points=VALIDATION_POINTS,
            noise=0.0,
            definition=0.0,
            detected=0.0,
            exact=0.0,
            simulated=0.0,
            augment=0.0,
            maps=0,
        )
        volume = replace(exact, uniform=0.0, box_only=True)
        given = {
            name: getattr(self._batches, name) for name in ("noise", "definition", "detected", "exact", "simulated")
        }
        noisy = replace(volume, **given)
        return {"iou": self._iou(volume), "iou_near": self._iou(exact), "iou_noisy": self._iou(noisy)}

    def _iou(self, batches: BatchRecipe) -> float:
        values, size = [], self.recipe.batch
        for first in range(0, len(self.held_out), size):
            chosen = self.held_out[first : first + size]
            batch = moved(make_batch(self.scenes, chosen, batches, self.recipe.seed, _VALIDATION + first), self.device)
            features = self.model.encode(batch.image)
            for k, side in enumerate(SIDES):
                inside = self.hand(batch, features, side).occupancy(batch.hands[side].points) > 0.5
                values.append(hand_ious(inside, batch.hands[side].distance < 0)[batch.present[:, k]])
        return float(torch.cat(values).mean())

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``."""
        card = {"network": "initial occupancy network", "licence": "Apache-2.0", **card}
        if self.recipe.train_encoder or self._start is None:
            save_first(self.name, self.model, self.configuration, folder, card)
        else:
            save_further(self.name, self.model, self.configuration, folder, card, self._start)


def parameter_groups(
    model: nn.Module, encoder_rate: float, decoder_rate: float
) -> list[tuple[float, list[nn.Parameter]]]:
    """Group the trained parameters of a network by their learning rate.

    Parameters
    ----------
    model : nn.Module
        An initial or refined occupancy network.
    encoder_rate : float
        Factor on the learning rate of the image encoder's trunk.
    decoder_rate : float
        Factor on the learning rate of the part decoders.

    Returns
    -------
    list of (float, list of nn.Parameter)
        Factor and parameters of each group that is not empty. All other parameters have the factor 1.
    """
    trunk, decoders, others = [], [], []
    in_decoders = {id(p) for m in model.modules() if isinstance(m, PartDecoder) for p in m.parameters()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            if "image_encoder.trunk." in name or "image_encoder.resnet." in name:
                trunk.append(parameter)
            elif id(parameter) in in_decoders:
                decoders.append(parameter)
            else:
                others.append(parameter)
    groups = [(encoder_rate, trunk), (decoder_rate, decoders), (1.0, others)]
    return [(scale, parameters) for scale, parameters in groups if parameters]


def probability_loss(occupancy: Tensor, samples: HandSamples, present: Tensor) -> Tensor:
    """Compute the published loss: the mean squared error of probabilities, over the hands that are present.

    Parameters
    ----------
    occupancy : (B, N) float
        Predicted occupancy probabilities.
    samples : HandSamples
        Labels of the N points.
    present : (B,) bool
        Which hands are present.

    Returns
    -------
    () float
        The loss; 0 if no hand is present.
    """
    target = (samples.distance < 0).to(occupancy)
    wrong = functional.mse_loss(occupancy, target, reduction="none").mean(1)
    return (wrong * present).sum() / present.sum().clamp_min(1)


def hand_ious(inside: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (B,) of two boolean tensors ``inside`` and ``truth`` (B, N)."""
    union = (inside | truth).sum(1)
    return (inside & truth).sum(1) / union.clamp_min(1)


def _first(configuration: Configuration, recipe: InitialRecipe, start: Path | None) -> InitialOccupancy:
    """The network before the first step; see ``InitialRecipe.start``."""
    trained = start is not None and (start / f"{INITIAL_OCCUPANCY}.safetensors").exists()
    within = start is not None and configuration.shared_encoder and is_compact(REFINED_OCCUPANCY, start)
    if start is not None and configuration.shared_encoder and (trained or within):
        if recipe.parts:
            own = _trained(start) if trained else _trained_within(start)
            return _with_new_parts(configuration, own, weights_folder(recipe.parts))
        return (trained_initial(configuration, start) if trained else _trained_within(start)).requires_grad_(True)
    network = configuration.make_initial(configuration.make_encoder())
    if trained:
        assert start is not None
        return _trained(start)
    if recipe.start == "published":
        xavier(network)
        if start is not None:
            network.load_state_dict(initial_occupancy_start(start), strict=False)
    elif recipe.start == "bundled":
        if isinstance(network.image_encoder, CompactEncoder):
            first_trunk(network.image_encoder.trunk, start)
        start_from_part_occupancy(network)
    return network


def _trained(start: Path) -> InitialOccupancy:
    return cast(InitialOccupancy, load_network(INITIAL_OCCUPANCY, start))


def _trained_within(start: Path) -> InitialOccupancy:
    return cast(RefinedOccupancy, load_network(REFINED_OCCUPANCY, start)).init_occ


def _with_new_parts(configuration: Configuration, trained: InitialOccupancy, folder: Path) -> InitialOccupancy:
    """A trained network with the part networks of a folder, but for the columns that read image features."""
    network = configuration.make_initial(trained.image_encoder)
    network.load_state_dict(trained.state_dict(), strict=False)
    start_from_part_occupancy(network, folder, keep_image_columns=True)
    return network.requires_grad_(True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train initial-occupancy``."""
    command.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train initial-occupancy`` and return the exit code."""
    return command.run(arguments, NETWORK, RECIPES, InitialTask)
