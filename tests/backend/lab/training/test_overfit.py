"""Tests that the occupancy networks can overfit two scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from im2hands.lab.datasets.scenes import SceneSet
from im2hands.lab.training import initial_occupancy, refined_occupancy
from im2hands.lab.training.initial_occupancy import InitialTask
from im2hands.lab.training.refined_occupancy import RefinedTask
from im2hands.lab.training.runner import Runner
from im2hands.networks.anchor_encoder import AnchorSizes
from im2hands.networks.configuration import Configuration, compact
from im2hands.networks.initial_occupancy import InitialOccupancy
from scene_pictures import make_set

CPU = torch.device("cpu")
SEED = 1
EASY = {
    "batch": 2, "points": 768, "held_out": 0, "noise": 0.0, "definition": 0.0, "detected": 0.0, "augment": 0.0,
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
    # A third of the points is spread over the box. With 512 points too few would lie inside the hand to distinguish an
    # IoU of 0.94 from 0.96.
    return SceneSet(make_set(tmp_path_factory.mktemp("overfit") / "set", 2, 3072))


@torch.no_grad()
def _spoil(network: InitialOccupancy) -> None:
    """Add noise of the weights' standard deviation to the last two layers of both part decoders."""
    torch.manual_seed(7)
    for side in ("left", "right"):
        for weights in network.side(side).decoder.weights[3:]:  # type: ignore[arg-type]
            weights += torch.randn_like(weights) * weights.std()


def _tiny() -> Configuration:
    sizes = compact(64, 16)
    anchors = AnchorSizes(reduced=16, width=32, counts=(48, 16), neighbours=8, final_layers=1)
    refined = replace(sizes.refined, anchors=anchors, attention=24, blocks=2, neighbours=4, anchor_count=96)
    return replace(sizes, refined=refined)


def test_the_initial_network_learns_two_scenes(scenes: SceneSet, tmp_path: Path) -> None:
    recipe = replace(
        initial_occupancy.COMPACT, **EASY, steps=80, learning_rate=3e-3, decoder_rate=1.0, heatmap=0.0, mask=0.0,
        dense=0.0,
    )  # fmt: skip
    torch.manual_seed(1)
    task = InitialTask(_tiny(), recipe, scenes, None, CPU)
    _spoil(task.model)
    runner = Runner(task, recipe, tmp_path, CPU)
    assert runner.validate()["iou"] < 0.7
    assert runner.run()["iou"] >= 0.95


def test_the_refined_network_learns_two_scenes(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The initial network has the bundled part decoders; neither they nor the encoder were trained on these scenes."""
    # Of 1024 points in the box about 60 lie inside the hand, which would give an IoU error of 0.02.
    monkeypatch.setattr(refined_occupancy, "VALIDATION_POINTS", 16384)
    scenes = SceneSet(make_set(tmp_path_factory.mktemp("refined") / "set", 2, 12288))
    recipe = replace(initial_occupancy.COMPACT, batch=2, steps=1, held_out=0)
    torch.manual_seed(SEED)
    InitialTask(_tiny(), recipe, scenes, None, CPU).save(tmp_path / "initial", {})
    refined = replace(
        refined_occupancy.COMPACT, **{**EASY, "warmup": 10}, steps=260, learning_rate=1e-2, penetration_points=32,
        seed=SEED,
    )  # fmt: skip
    torch.manual_seed(SEED)
    task = RefinedTask(_tiny(), refined, scenes, tmp_path / "initial", CPU)
    runner = Runner(task, refined, tmp_path / "refined", CPU)
    before = runner.validate()
    assert before["iou"] == pytest.approx(before["iou_initial"], abs=0.002) and before["iou"] < 0.94
    after = runner.run()
    assert after["iou_initial"] == before["iou_initial"]
    assert after["iou"] >= 0.95
