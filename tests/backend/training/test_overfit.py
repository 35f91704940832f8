"""Training learns: two scenes, kept by heart from weights that do not show their hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from im2hands.datasets.scenes import SceneSet
from im2hands.networks.configuration import compact
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.training import initial_occupancy
from im2hands.training.initial_occupancy import InitialTask
from im2hands.training.runner import Runner
from scene_pictures import make_set

CPU = torch.device("cpu")
EASY = {
    "batch": 2, "points": 512, "held_out": 0, "noise": 0.0, "definition": 0.0, "detected": 0.0, "augment": 0.0,
    "warmup": 20, "ema": 0.9, "log_every": 1000, "checkpoint_every": 1000, "validate_every": 1000,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> SceneSet:
    return SceneSet(make_set(tmp_path_factory.mktemp("overfit") / "set", 2, 1536))


@torch.no_grad()
def _spoil(network: InitialOccupancy) -> None:
    """Noise, as strong as the weights are, on the last two layers of both part decoders."""
    torch.manual_seed(7)
    for side in ("left", "right"):
        for weights in network.side(side).decoder.weights[3:]:  # type: ignore[arg-type]
            weights += torch.randn_like(weights) * weights.std()


def _initial(scenes: SceneSet, steps: int) -> InitialTask:
    recipe = replace(
        initial_occupancy.COMPACT, **EASY, steps=steps, learning_rate=2e-3, decoder_rate=1.0, heatmap=0.0, mask=0.0,
        dense=0.0,
    )  # fmt: skip
    torch.manual_seed(1)
    task = InitialTask(compact(64, 16), recipe, scenes, None, CPU)
    _spoil(task.model)
    return task


def test_the_initial_network_learns_two_scenes(scenes: SceneSet, tmp_path: Path) -> None:
    task = _initial(scenes, 100)
    runner = Runner(task, task.recipe, tmp_path, CPU)
    assert runner.validate()["iou"] < 0.7
    assert runner.run()["iou"] >= 0.95
