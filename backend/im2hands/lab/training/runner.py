"""The one way networks are trained: steps, averaged weights, checkpoints, exact resume, logs.

A network brings a :class:`Task`: its model, the batch of a step, the loss of a batch, figures and the finished files.
All that is random comes from (seed, step): ``Task.prepare(step)`` must draw from generators seeded so (:func:`stream`),
and before the loss of a step PyTorch's own generator is seeded (dropout). So a run that was killed and taken up again
goes the way the uninterrupted run goes, to the bit on the same machine with the same number of threads.

The output folder gets ``log.csv`` (one row every ``log_every`` steps), TensorBoard's files, ``checkpoint.pt``, and at
the end the weights and their cards.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
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

from im2hands.core.errors import InputError, SetupError
from im2hands.core.files import write_atomically

from .averaged import Averaged
from .recipe import Recipe

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
_AHEAD = 2  # batches prepared while the step runs
_STREAM = 1_000_003  # keeps the random streams of different seeds apart
_COLUMNS = ("step", "loss", "learning_rate", "gradient")

_log = logging.getLogger(__name__)

Batch = TypeVar("Batch")


class Task(Protocol[Batch]):
    """What a network brings to its training.

    Attributes:
        name: of the network, as its weights are called. model: on the device; parameters that do not require gradients
            stay as they are. terms: names of what :meth:`loss` reports. figures: names of what :meth:`validate`
            reports. data: what the data are, for checkpoint and card; a run goes on with the same only.
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
        """The parameters to train, in groups with a factor on the learning rate each."""
        ...

    def prepare(self, step: int) -> Batch:
        """The batch of a step, on the CPU; runs in another thread and must depend on (seed, step) alone."""
        ...

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, and its terms. Runs in mixed precision where the recipe has it."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures of the model on held-out data; the model is in evaluation mode and has the averaged weights."""
        ...

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write the model's weights and cards, completing ``card``."""
        ...


def stream(seed: int, *numbers: int) -> np.random.Generator:
    """A random generator of its own for (seed, numbers)."""
    return np.random.default_rng((seed, *numbers))


def torch_stream(seed: int, *numbers: int) -> torch.Generator:
    """The same for PyTorch, on the CPU."""
    return torch.Generator().manual_seed(int(stream(seed, *numbers).integers(2**62)))


def scenes_of_step(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Which of ``count`` scenes make the batch of a step: every epoch has them all once, in an order of its own."""
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, place = divmod(position, count)
        chosen.append(int(_order(count, seed, epoch)[place]))
    return chosen


_orders: dict[tuple[int, int, int], np.ndarray] = {}


def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    key = (count, seed, epoch)
    if key not in _orders:
        if len(_orders) > 4:
            _orders.clear()
        _orders[key] = stream(seed, epoch, count).permutation(count)
    return _orders[key]


class Runner(Generic[Batch]):
    """One training.

    Args:
        task: the network. recipe: how. folder: where everything goes. device: of the model.

    Attributes:
        step: steps done.
    """

    def __init__(self, task: Task[Batch], recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.mediapipe_detection, self.recipe, self.folder, self.device = task, recipe, folder, device
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
        """Where the run can be taken up again."""
        return self.folder / CHECKPOINT

    def learning_rate(self, step: int) -> float:
        """Of a step."""
        recipe = self.recipe
        rate = recipe.learning_rate * (min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0)
        if recipe.schedule == "step":
            return rate * recipe.decay ** (step // recipe.decay_every)
        if recipe.schedule == "cosine":
            return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps))))
        return rate

    def train_step(self, batch: Batch) -> float:
        """One step; returns the loss.

        Raises:
            InputError: the loss is not a number.
        """
        model, recipe = self.mediapipe_detection.model, self.recipe
        model.train()
        torch.manual_seed(recipe.seed * _STREAM + self.step)
        rate = self.learning_rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            loss, terms = self.mediapipe_detection.loss(batch, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained, recipe.clip or math.inf))
        value = float(loss.detach())
        if not math.isfinite(value) or not math.isfinite(norm):
            raise InputError(
                f"The loss of step {self.step} is {value}, its gradient {norm}.",
                "Lower the learning rate, or train in float32; the checkpoint is from before.",
            )
        self.optimizer.step()
        self.step += 1
        if self.averaged:
            self.averaged.update(self.step)
        for name, number in {"loss": value, "learning_rate": rate, "gradient": norm, **terms}.items():
            self._sums[name] = self._sums.get(name, 0.0) + number
        return value

    def validate(self) -> dict[str, float]:
        """Figures of the (averaged) model."""
        self.mediapipe_detection.model.eval()
        with torch.no_grad(), self._averaged_model():
            return self.mediapipe_detection.validate()

    @contextmanager
    def _averaged_model(self) -> Iterator[None]:
        if self.averaged:
            with self.averaged.in_model():
                yield
        else:
            yield

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "step": self.step,
            "settings": self._settings(),
            "model": self.mediapipe_detection.model.state_dict(),
            "averaged": self.averaged.values if self.averaged else {},
            "optimizer": self.optimizer.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(self.checkpoint, buffer.getvalue())

    def load(self) -> None:
        """Take up the run from its checkpoint.

        Raises:
            InputError: the checkpoint was made with other settings or data, or cannot be read.
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
        self.mediapipe_detection.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.averaged:
            self.averaged.values = state["averaged"]
        self.step = state["step"]

    def _settings(self) -> dict[str, Any]:
        recipe = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.recipe).items()}
        return {"network": self.mediapipe_detection.name, **recipe, "data": self.mediapipe_detection.data}

    def run(self, *, resume: bool = False, cancelled: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Train to the end and write the weights.

        Args:
            resume: take up the run in the folder, if there is one. cancelled: asked after every step.

        Returns:
            The figures of the finished weights; empty if cancelled.

        Raises:
            InputError: the folder holds a run already and ``resume`` is off; see also :meth:`load`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            if not resume:
                raise InputError(f"{self.folder} holds a training run already.", "Add --resume, or another --output.")
            self.load()
            _log.info("going on at step %d", self.step)
        figures: dict[str, float] = {}
        with _Logs(
            self.folder, (*_COLUMNS, *self.mediapipe_detection.terms, *self.mediapipe_detection.figures), self.step
        ) as logs:
            if self.step < self.recipe.steps:
                figures = self._steps(logs, cancelled)
                if self.step < self.recipe.steps:
                    return {}
        figures = figures or self.validate()
        card = {
            "recipe": {
                "command": f"im2hands train {self.mediapipe_detection.name.replace('_', '-')}",
                **asdict(self.recipe),
            },
            "data": self.mediapipe_detection.data,
            "figures": figures,
            "date": date.today().isoformat(),
            "torch": torch.__version__,
        }
        with self._averaged_model():
            self.mediapipe_detection.save(self.folder, card)
        return figures

    def _steps(self, logs: _Logs, cancelled: Callable[[], bool]) -> dict[str, float]:
        recipe, figures = self.recipe, {}
        saved, logged, started = self.step, self.step, time.monotonic()
        with (
            _prepared(self.mediapipe_detection.prepare, self.step, recipe.steps) as batches,
            tqdm(
                total=recipe.steps, initial=self.step, desc=self.mediapipe_detection.name.replace("_", " "), unit="step"
            ) as bar,
        ):
            for batch in batches:
                loss = self.train_step(batch)
                bar.update(1)
                last = self.step == recipe.steps
                # The log's means begin anew at every checkpoint, so that a run taken up writes the same rows.
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
    """Batches of the steps, each prepared in another thread while the one before is trained on."""
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


class _Logs:
    """``log.csv`` and TensorBoard; rows after the step that a run is taken up at are dropped."""

    def __init__(self, folder: Path, columns: tuple[str, ...], step: int) -> None:
        self._columns = columns
        path = folder / LOG
        rows: list[dict[str, str]] = []
        if step and path.exists():
            with open(path, newline="", encoding="utf-8") as handle:
                whole = [row for row in csv.DictReader(handle) if None not in row.values()]  # the last may be cut off
            rows = [row for row in whole if int(row["step"]) <= step]
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, buffer.getvalue().encode("utf-8"))
        self._handle = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)
        self._writer = csv.DictWriter(self._handle, columns, restval="")
        self._board = summary_writer(folder / "tensorboard", step)

    def write(self, step: int, row: Mapping[str, float], scenes_per_second: float) -> None:
        self._writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in row.items()}})
        self._handle.flush()
        for name, value in row.items():
            self._board.add_scalar(name, value, step)
        self._board.add_scalar("scenes_per_second", scenes_per_second, step)

    def __enter__(self) -> _Logs:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.close()
        self._board.close()


def summary_writer(folder: Path, step: int) -> Any:
    """TensorBoard's writer, going on at ``step``.

    Raises:
        SetupError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SetupError("Training needs TensorBoard.", "pip install 'im2hands[train]'") from error
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)


def _mixed_precision(recipe: Recipe, device: torch.device) -> bool:
    if recipe.precision != "auto":
        return recipe.precision == "bfloat16"
    # On a processor float32 is as fast (measured with AVX512-BF16 instructions, without matrix units).
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
