"""Teach a trained reading network the points on the skin: ``im2hands train skin-points``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.errors import InputError
from im2hands.core.files import sha256_of
from im2hands.keypoints.reading.crops import CROP_PIXELS
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.datasets.skin_labels import SkinLabeller
from im2hands.networks.reading_network import ReadingNetwork, SkinHead, SkinReadings
from im2hands.weights.folder import read_card
from im2hands.weights.keypoint_networks import READING

from . import command
from .recipe import Recipe
from .runner import Runner, scenes_of_step, stream
from .sample_files import trained_and_held
from .skin_samples import SkinSamples, gather, see

_TERMS = ("place", "visible")
_FIGURES = ("error", "median", "visible_error", "hidden_error", "surer_error", "visible_told", "error_by_spread")
_VISIBLE_WEIGHT = 1.0  # of the visibility's loss; that of the places has weight 1
_FLOOR = 0.02  # added to the standard deviation of each feature
_STANDARD = 8000  # hands from which the features' mean and deviation are measured
_RIDGE = 1e-3  # of the linear map
_SMALL = 0.1  # factor on the first weights of the corrections


@dataclass(frozen=True, kw_only=True)
class SkinRecipe(Recipe):
    """The recipe of the head: the fields of ``recipe.Recipe`` and those below.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise on the features, in their standard deviations.
    worst : float
        The given keypoints lie between the true ones (0) and this: 1 for those that the network reads in the crop.
    """

    noise: float = 0.2
    worst: float = 1.1


RECIPE = SkinRecipe(
    steps=4000, batch=256, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup=100, betas=(0.9, 0.99),
    weight_decay=0.05, clip=5.0, ema=0.998, log_every=100, checkpoint_every=1000, validate_every=1000, held_out=200,
)  # fmt: skip


@dataclass(frozen=True)
class SkinBatch:
    """N hands with their targets; see ``skin_samples.SkinSamples``.

    Here all are float32 but ``visible``, which is bool, and ``keypoints`` are those that the head is given.
    """

    close: Tensor
    pixels: Tensor
    visible: Tensor
    palm: Tensor
    keypoints: Tensor


class SkinTask:
    """The training of the head; see ``runner.Task``.

    Parameters
    ----------
    recipe : SkinRecipe
        How to train.
    trained : SkinSamples
        Hands to train on.
    held : SkinSamples
        Hands that are only validated on.
    data : dict
        Description of the data, for checkpoint and card.
    start : Path
        Folder of the reading network.
    device : torch.device
        Device of the head.

    Raises
    ------
    InputError
        There are too few hands.
    WeightsError
        The reading network is missing or damaged.
    """

    name = "skin_points"
    terms = _TERMS
    figures = _FIGURES

    def __init__(
        self, recipe: SkinRecipe, trained: SkinSamples, held: SkinSamples, data: dict[str, Any], start: Path,
        device: torch.device,
    ) -> None:  # fmt: skip
        if len(trained) < 2 or not len(held):
            raise InputError("Too few hands can be seen to learn from.", "Give sets with more scenes.")
        self.recipe, self.data, self.device, self._start = recipe, data, device, start
        self._trained, self._held = trained, held
        self._network = READING.load(start / READING.file)
        self._network.skin = None
        self.model = SkinHead().to(device)
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        """Measure the features, and fit the map from the true keypoints to the points."""
        rows = stream(self.recipe.seed).permutation(len(self._trained))[:_STANDARD]
        batch = self._batch(self._trained, rows, 0.0)
        self.model.mean.copy_(batch.close.mean(dim=0))
        self.model.deviation.copy_(batch.close.std(dim=0, unbiased=False) + _FLOOR)
        weights = linear_map(batch.keypoints, batch.pixels).float()
        self.model.carry.weight.copy_(weights[:-1].T)
        self.model.carry.bias.copy_(weights[-1])
        self.model.told.weight.mul_(_SMALL)

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        return [(1.0, list(self.model.parameters()))]

    def prepare(self, step: int) -> SkinBatch:
        """See ``runner.Task.prepare``."""
        rows = scenes_of_step(len(self._trained), self.recipe.batch, self.recipe.seed, step)
        worst = stream(self.recipe.seed, step).uniform(0, self.recipe.worst, (len(rows), 1, 1))
        return self._batch(self._trained, np.array(rows), worst)

    def loss(self, batch: SkinBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        close = batch.close.to(self.device)
        noise = self.recipe.noise * self.model.deviation * torch.randn_like(close)
        made = self.model(close + noise, batch.keypoints.to(self.device))
        parts = skin_losses(made, batch.pixels.to(self.device), batch.visible.to(self.device))
        return parts["place"] + _VISIBLE_WEIGHT * parts["visible"], {k: float(v.detach()) for k, v in parts.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the errors on the held-out hands, given the keypoints that are read; see :func:`skin_figures`."""
        batch = self._batch(self._held, np.arange(len(self._held)), 1.0)
        made = self.model(batch.close.to(self.device), batch.keypoints.to(self.device))
        return skin_figures(SkinReadings(*(value.cpu() for value in made)), batch.pixels, batch.visible, batch.palm)

    def _batch(self, samples: SkinSamples, rows: np.ndarray, worst: np.ndarray | float) -> SkinBatch:
        """The hands of some rows, with keypoints of :func:`given_keypoints`."""
        some = samples.take(rows)
        keypoints = given_keypoints(self._network, some, worst)
        close, pixels, visible, palm = (
            torch.from_numpy(value) for value in (some.close, some.pixels, some.visible, some.palm)
        )
        return SkinBatch(close.float(), pixels, visible, palm, keypoints)

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write the reading network with the head; see ``runner.Task.save``."""
        path = (self._start / READING.file).with_suffix(".json")
        about = read_card(path) if path.is_file() else {}
        for name in ("name", "file", "sha256"):
            about.pop(name, None)
        self._network.skin = self.model.cpu()
        READING.save(self._network, folder, {**about, "skin_points": card})


def linear_map(keypoints: Tensor, pixels: Tensor) -> Tensor:
    """Fit the best linear map from keypoints to points on the skin.

    Parameters
    ----------
    keypoints : (N, 21, 2) float
        Keypoints, pixels of the crops.
    pixels : (N, 128, 2) float
        Points, pixels of the crops; hands with NaN are left out.

    Returns
    -------
    (43, 256) float64
        Factors of the keypoints' coordinates and, last, the constant, all in half crops from the crop's middle.
    """
    half = CROP_PIXELS / 2
    known = torch.isfinite(pixels).flatten(1).all(dim=1)
    given, wanted = (points[known].flatten(1).double() / half - 1 for points in (keypoints, pixels))
    given = torch.cat([given, torch.ones(len(given), 1, dtype=torch.float64)], dim=1)
    regular = _RIDGE * torch.eye(given.shape[1], dtype=torch.float64)
    return torch.linalg.solve(given.T @ given + regular, given.T @ wanted)


@torch.no_grad()
def given_keypoints(network: ReadingNetwork, samples: SkinSamples, worst: np.ndarray | float) -> Tensor:
    """Make keypoints to give to the head, (N, 21, 2) float32.

    Parameters
    ----------
    network : ReadingNetwork
        The network.
    samples : SkinSamples
        N hands.
    worst : (N, 1, 1) float or float
        0 for the true keypoints, 1 for those that the network reads in the crop, other values between or beyond.
    """
    true = torch.from_numpy(samples.keypoints)
    read = network.read(torch.from_numpy(samples.close).float()).pixels
    return torch.lerp(true, read, torch.as_tensor(worst, dtype=torch.float32).expand(len(true), 1, 1))


def skin_losses(made: SkinReadings, pixels: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Compute the parts of the loss, not yet weighted.

    Parameters
    ----------
    made : SkinReadings
        Output of the head for N hands.
    pixels : (N, 128, 2) float
        True places, pixels of the crop; NaN for unknown ones.
    visible : (N, 128) bool
        Which points can be seen.

    Returns
    -------
    dict of str to () float
        ``place``: negative Laplace log-likelihood of the places, also of hidden points. ``visible``: cross-entropy.
    """
    known = torch.isfinite(pixels).all(dim=-1)
    aside = (made.pixels - torch.where(known[..., None], pixels, made.pixels.detach())).abs().sum(-1) / CROP_PIXELS
    place = aside / made.spread + 2 * made.spread.log()
    return {
        "place": (place * known).sum() / known.sum().clamp_min(1),
        "visible": functional.binary_cross_entropy_with_logits(made.visible, visible.float()),
    }


def skin_figures(made: SkinReadings, pixels: Tensor, visible: Tensor, palm: Tensor) -> dict[str, float]:
    """Measure readings of N hands.

    Parameters
    ----------
    made : SkinReadings
        The readings.
    pixels : (N, 128, 2) float
        True places, pixels of the crop; NaN for unknown ones.
    visible : (N, 128) bool
        Which points can be seen.
    palm : (N,) float
        Palm lengths, pixels of the crop.

    Returns
    -------
    dict of str to float
        ``error``, ``median``: mean and median distance of the points from the true ones, palm lengths.
        ``visible_error``, ``hidden_error``: the mean of visible and of hidden points. ``surer_error``: the mean of the
        half with the smaller spreads. ``visible_told``: share of points whose visibility is right. ``error_by_spread``:
        mean error of a coordinate as a multiple of its spread; 1 if spreads are right on average.
    """
    known = torch.isfinite(pixels).all(dim=-1)
    error = torch.linalg.vector_norm(made.pixels - pixels, dim=-1) / palm[:, None]
    spread = made.spread / palm[:, None]
    aside = (made.pixels - pixels).abs().mean(dim=-1) / CROP_PIXELS / made.spread
    surer = known & (spread <= spread[known].median())
    return {
        "error": float(error[known].mean()),
        "median": float(error[known].median()),
        "visible_error": float(error[known & visible].mean()),
        "hidden_error": float(error[known & ~visible].mean()),
        "surer_error": float(error[surer].mean()),
        "visible_told": float(((made.visible > 0) == visible)[known].float().mean()),
        "error_by_spread": float(aside[known].mean()),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train skin-points``."""
    command.add_run_arguments(parser, RECIPE, "hands")
    add = parser.add_argument
    add(
        "--read",
        type=Path,
        metavar="DIR",
        help="folder of crops and features, which runs can share (default: OUTPUT/read)",
    )
    text = "the last N scenes of a set, or scenes A to B - 1; once for all sets, or once for each (default: all)"
    add("--scenes", nargs="+", metavar="N|A:B", help=text)
    add("--readings", type=int, default=1, metavar="N", help="crops of each hand, each with other augmentation")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train skin-points`` and return the exit code."""
    from im2hands.core.devices import choose_device, limit_threads

    limit_threads(arguments.threads)
    recipe = command.changed(RECIPE, arguments)
    device = choose_device(arguments.device)
    sets = [open_scenes(folder) for folder in arguments.data]
    start = arguments.start_from or READING.bundled.parent
    digest = sha256_of(start / READING.file)
    trained, held = _seen(sets, start, digest, arguments)
    data = {
        "sets": {data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in sets},
        "hands": len(trained), "held_out_hands": len(held), "reading_network": digest,
    }  # fmt: skip
    torch.manual_seed(recipe.seed)
    task = SkinTask(recipe, trained, held, data, start, device)
    Runner(task, recipe, arguments.output, device).run(resume=arguments.resume)
    return 0


def _seen(
    sets: Sequence[SceneSet], start: Path, digest: str, arguments: argparse.Namespace
) -> tuple[SkinSamples, SkinSamples]:
    """Hands of the scenes to train on, and those of the held-out scenes at the end of each set."""
    folder, labeller = arguments.read or arguments.output / "read", SkinLabeller()
    trained: list[Path] = []
    held: list[Path] = []
    for data, shown, kept in trained_and_held(sets, arguments.scenes, arguments.held_out):
        for reading in range(1, 1 + max(arguments.readings, 1)):
            trained += gather(data, shown, labeller, folder, reading, False)
        held += gather(data, kept, labeller, folder, 0, True)
    network = LandmarkNetwork(workers=arguments.threads or None, reading=READING.load(start / READING.file))
    try:
        return see(network, trained, folder / digest[:12]), see(network, held, folder / digest[:12])
    finally:
        network.close()
