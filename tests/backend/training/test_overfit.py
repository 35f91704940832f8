"""Training learns: two scenes, kept by heart from weights that do not show their hands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from im2hands.datasets.scenes import SceneSet
from im2hands.networks.anchor_encoder import AnchorSizes
from im2hands.networks.configuration import Configuration, compact
from im2hands.networks.initial_occupancy import InitialOccupancy
from im2hands.training import initial_occupancy, refined_occupancy
from im2hands.training.initial_occupancy import InitialTask
from im2hands.training.refined_occupancy import RefinedTask
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


def _tiny() -> Configuration:
    sizes = compact(64, 16)
    anchors = AnchorSizes(reduced=16, width=32, counts=(48, 16), neighbours=8, final_layers=1)
    refined = replace(sizes.refined, anchors=anchors, attention=24, blocks=2, neighbours=4, anchor_count=96)
    return replace(sizes, refined=refined)


def test_the_refined_network_learns_two_scenes(scenes: SceneSet, tmp_path: Path) -> None:
    """It begins with hands that its initial network makes far too thin."""
    recipe = replace(initial_occupancy.COMPACT, batch=2, steps=1, held_out=0)
    torch.manual_seed(1)
    first = InitialTask(_tiny(), recipe, scenes, None, CPU)
    with torch.no_grad():
        for side in ("left", "right"):
            first.model.side(side).decoder.biases[4].sub_(2.5)  # type: ignore[arg-type]
    first.save(tmp_path / "initial", {})
    easy = {**EASY, "points": 256, "warmup": 10}
    refined = replace(refined_occupancy.COMPACT, **easy, steps=60, learning_rate=5e-3, penetration_points=32)
    torch.manual_seed(1)
    task = RefinedTask(_tiny(), refined, scenes, tmp_path / "initial", CPU)
    runner = Runner(task, refined, tmp_path / "refined", CPU)
    before = runner.validate()
    assert before["iou"] == pytest.approx(before["iou_initial"], abs=0.005) and before["iou"] < 0.55
    assert runner.run()["iou"] >= 0.88
