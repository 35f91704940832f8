"""The training loop of the networks: optimiser steps, averaged weights, checkpoints, exact resume, logs.

Each network defines a :class:`Task`: its model, the batch of a step, the loss of a batch, the validation and the files
of the finished weights.

All random numbers depend on (seed, step) alone. ``Task.prepare(step)`` must draw from generators of :func:`stream`, and
the loop seeds PyTorch's own generator, which dropout uses, before each loss. So a run that is killed and resumed gives
the same weights as an uninterrupted run, bit for bit, on the same machine with the same number of threads.

The output folder gets ``log.csv`` (one row every ``log_every`` steps), TensorBoard's files, ``checkpoint.pt``, and at
the end the weights and their cards.
"""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from im2hands.core.errors import InputError
from im2hands.core.files import write_atomically
from im2hands.core.gpu import has_bfloat16
from im2hands.lab.datasets.open_set import card_terms

from .averaged import Averaged
from .recipe import Recipe
from .run_log import RunLog

CHECKPOINT = "checkpoint.pt"
_AHEAD = 2  # batches that are prepared in advance
_STREAM = 1_000_003  # keeps the random streams of different seeds apart
_COLUMNS = ("step", "loss", "learning_rate", "gradient")

_log = logging.getLogger(__name__)

Batch = TypeVar("Batch")


class Task(Protocol[Batch]):
    """The parts of a training that are specific to a network.

    Attributes
    ----------
    name : str
        Name of the network and of its weights file.
    model : nn.Module
        The model, on the device. Parameters that do not require gradients are frozen.
    terms : tuple of str
        Names of the loss terms that :meth:`loss` returns.
    figures : tuple of str
        Names of the figures that :meth:`validate` returns.
    data : dict
        Description of the data, for checkpoint and card. A run resumes only with the same data.
    """

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> nn.Module: ...
    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def figures(self) -> tuple[str, ...]: ...
    @property
    def data(self) -> dict[str, Any]: ...

    def groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Return the parameters to train, in groups, each with its factor on the learning rate."""
        ...

    def prepare(self, step: int) -> Batch:
        """Make the batch of a step, on the CPU.

        It runs in another thread and must depend on (seed, step) alone.
        """
        ...

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Return the scalar loss of a batch, and its terms; runs in mixed precision if the recipe has it."""
        ...

    def validate(self) -> dict[str, float]:
        """Measure the model on held-out data; the model is in evaluation mode and has the averaged weights."""
        ...

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write the model's weights and cards to ``folder``; the task adds its own entries to ``card``."""
        ...


def stream(seed: int, *numbers: int) -> np.random.Generator:
    """Return NumPy's random generator for (seed, numbers); other numbers give an independent generator."""
    return np.random.default_rng((seed, *numbers))


def torch_stream(seed: int, *numbers: int) -> torch.Generator:
    """Return PyTorch's random generator for (seed, numbers), on the CPU."""
    return torch.Generator().manual_seed(int(stream(seed, *numbers).integers(2**62)))


def scenes_of_step(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Choose the scenes of a step; every epoch takes each scene once, in a new random order.

    Parameters
    ----------
    count : int
        Number of scenes.
    batch : int
        Scenes in a step.
    seed : int
        Seed of the orders.
    step : int
        The step, from 0.

    Returns
    -------
    list of int
        Indices of the ``batch`` scenes.
    """
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, place = divmod(position, count)
        chosen.append(int(_order(count, seed, epoch)[place]))
    return chosen


_orders: dict[tuple[int, int, int], np.ndarray] = {}


def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order (count,) of the scenes in an epoch; the last few orders are cached."""
    key = (count, seed, epoch)
    if key not in _orders:
        if len(_orders) > 4:
            _orders.clear()
        _orders[key] = stream(seed, epoch, count).permutation(count)
    return _orders[key]


class Runner(Generic[Batch]):
    """One training run.

    Parameters
    ----------
    task : Task
        The network-specific parts.
    recipe : Recipe
        How to train.
    folder : Path
        Output folder.
    device : torch.device
        Device of the model.

    Attributes
    ----------
    step : int
        Optimiser steps done.
    """

    def __init__(self, task: Task[Batch], recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.task, self.recipe, self.folder, self.device = task, recipe, folder, device
        self.step = 0
        groups: list[dict[str, Any]] = [{"params": own, "scale": scale} for scale, own in task.groups()]
        optimiser = torch.optim.AdamW if recipe.optimiser == "adamw" else torch.optim.Adam
        self.optimizer = optimiser(
            groups, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self._trained = [p for group in groups for p in group["params"]]
        self.averaged = Averaged(task.model, recipe.ema) if recipe.ema else None
        self._mixed = _mixed_precision(recipe, device)
        self._sums: dict[str, float] = {}

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint file."""
        return self.folder / CHECKPOINT

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step (from 0), before the factors of the parameter groups."""
        recipe = self.recipe
        rate = recipe.learning_rate * (min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0)
        if recipe.schedule == "step":
            return rate * recipe.decay ** (step // recipe.decay_every)
        if recipe.schedule == "cosine":
            return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps))))
        return rate

    def train_step(self, batch: Batch) -> float:
        """Make one optimiser step on a batch and return its loss.

        Raises
        ------
        InputError
            The loss or its gradient is not finite.
        """
        model, recipe = self.task.model, self.recipe
        model.train()
        torch.manual_seed(recipe.seed * _STREAM + self.step)
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            loss, terms = self.task.loss(batch, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained, recipe.clip or math.inf))
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(norm):
            raise InputError(
                f"The loss of step {self.step} is {value}, its gradient {norm}.",
                "Lower the learning rate, or train in float32; the checkpoint was written before this step.",
            )
        self.optimizer.step()
        self.step += 1
        if self.averaged:
            self.averaged.update(self.step)
        for name, number in {"loss": value, "learning_rate": rate, "gradient": norm, **terms}.items():
            self._sums[name] = self._sums.get(name, 0.0) + number
        return value

    def validate(self) -> dict[str, float]:
        """Measure the model, with its averaged weights if the recipe has them; see :meth:`Task.validate`."""
        self.task.model.eval()
        with torch.no_grad(), self._averaged_model():
            return self.task.validate()

    @contextmanager
    def _averaged_model(self) -> Iterator[None]:
        if self.averaged:
            with self.averaged.in_model():
                yield
        else:
            yield

    def save(self) -> None:
        """Write the checkpoint atomically."""
        state = {
            "step": self.step,
            "settings": self._settings(),
            "model": self.task.model.state_dict(),
            "averaged": self.averaged.values if self.averaged else {},
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint, buffer.getvalue())

    def load(self) -> None:
        """Continue from the checkpoint in the folder.

        Raises
        ------
        InputError
            The checkpoint was made with other settings or data, or cannot be read.
        """
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:
            raise InputError(f"Cannot read {self.checkpoint}: {error}", "Start in another folder.") from error
        was, now = state.get("settings", {}), self._settings()
        if was != now:
            changed = ", ".join(sorted(name for name in {*was, *now} if was.get(name) != now.get(name)))
            raise InputError(
                f"{self.checkpoint} was made with other settings: {changed}.",
                "Give the same options and data, or start in another folder.",
            )
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.averaged:
            self.averaged.values = state["averaged"]
        self.step = state["step"]

    def _settings(self) -> dict[str, Any]:
        recipe = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.recipe).items()}
        return {"network": self.task.name, **recipe, "data": self.task.data}

    def run(self, *, resume: bool = False, cancelled: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Train to the last step and write the weights.

        Parameters
        ----------
        resume : bool
            Whether to continue the run in the folder, if there is one.
        cancelled : callable
            Called after every step; True ends the run.

        Returns
        -------
        dict of str to float
            Figures of the finished weights; empty if cancelled.

        Raises
        ------
        InputError
            The folder holds a run already and ``resume`` is False; see also :meth:`load` and :meth:`train_step`.
        SetupError
            TensorBoard is not installed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            if not resume:
                raise InputError(f"{self.folder} holds a training run already.", "Add --resume, or another --output.")
            self.load()
            _log.info("resuming at step %d", self.step)
        figures: dict[str, float] = {}
        with RunLog(self.folder, (*_COLUMNS, *self.task.terms, *self.task.figures), self.step) as logs:
            if self.step < self.recipe.steps:
                figures = self._steps(logs, cancelled)
                if self.step < self.recipe.steps:
                    return {}
        figures = figures or self.validate()
        card = {
            "recipe": {
                "command": f"im2hands train {self.task.name.replace('_', '-')}",
                **asdict(self.recipe),
            },
            "data": self.task.data,
            "figures": figures,
            "date": date.today().isoformat(),
            "torch": torch.__version__,
            **card_terms(self.task.data),
        }
        with self._averaged_model():
            self.task.save(self.folder, card)
        return figures

    def _steps(self, logs: RunLog, cancelled: Callable[[], bool]) -> dict[str, float]:
        recipe, figures = self.recipe, {}
        saved, logged, started = self.step, self.step, time.monotonic()
        with (
            _prepared(self.task.prepare, self.step, recipe.steps) as batches,
            tqdm(total=recipe.steps, initial=self.step, desc=self.task.name.replace("_", " "), unit="step") as bar,
        ):
            for batch in batches:
                loss = self.train_step(batch)
                bar.update(1)
                last = self.step == recipe.steps
                # The means in the log restart at every checkpoint, so that a resumed run writes the same rows.
                save = last or self.step - saved >= recipe.checkpoint_every
                if save or self.step % recipe.log_every == 0:
                    row = {name: total / (self.step - logged) for name, total in self._sums.items()}
                    if last or self.step % recipe.validate_every == 0:
                        figures = self.validate()
                        row.update(figures)
                    seconds = time.monotonic() - started
                    logs.write(self.step, row, recipe.batch * (self.step - logged) / max(seconds, 1e-9))
                    bar.set_postfix(loss=f"{row['loss']:.4g}", **{name: f"{v:.4g}" for name, v in figures.items()})
                    self._sums, logged, started = {}, self.step, time.monotonic()
                if save:
                    self.save()
                    saved, started = self.step, time.monotonic()
                if cancelled():
                    break
                del loss
        return figures


@contextmanager
def _prepared(prepare: Callable[[int], Batch], first: int, end: int) -> Iterator[Iterator[Batch]]:
    """Batches of the steps ``first`` to ``end - 1``, prepared in another thread while earlier ones are trained on."""
    with ThreadPoolExecutor(1, "im2hands-batches") as pool:
        waiting: list[Future[Batch]] = []

        def batches() -> Iterator[Batch]:
            for step in range(first, end):
                while len(waiting) < _AHEAD and step + len(waiting) < end:
                    waiting.append(pool.submit(prepare, step + len(waiting)))
                yield waiting.pop(0).result()

        try:
            yield batches()
        finally:
            for future in waiting:
                future.cancel()


def _mixed_precision(recipe: Recipe, device: torch.device) -> bool:
    """Whether the loss is computed in bfloat16."""
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    # On a CPU float32 is as fast (measured with AVX512-BF16 instructions, without matrix units).
    return device.type == "cuda" and has_bfloat16(device)
