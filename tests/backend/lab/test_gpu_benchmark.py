"""The script for a lent graphics card, rehearsed: its rows, its time limit, and its steps on a pretended card."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from im2hands.surfaces.batch import frames
from im2hands.surfaces.from_keypoints import HandMesh
from pretended_device import pretended_device

FOLDER = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for small tensors
    yield importlib.import_module("gpu")
    torch.set_num_threads(threads)
    sys.modules.pop("gpu")


def test_the_time_is_kept_and_one_failure_costs_its_own_row(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]

    def takes(seconds: float) -> None:
        now[0] += seconds

    def fails() -> None:
        raise RuntimeError("CUDA error: no kernel\nmore")

    works = {"a": fails, "b": lambda: takes(340), "c": lambda: takes(99)}
    script.measure(works, lambda: now[0])
    said = capsys.readouterr().out.splitlines()
    assert said == ["| a | failed: RuntimeError: CUDA error: no kernel | | |", "| c | not measured: out of time | | |",
                    "", "340 s in all."]  # fmt: skip


class Batches:
    """Stands in for the batches: meshes that the processor makes alike, at once."""

    def __init__(self, single: Any, *, batch: int, workers: int | None = None) -> None:
        self.single = single

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def reconstruct(self, given: list[Any]) -> list[Any]:
        torch.zeros(3, device=self.single.device).sum().item()
        return [self.single.reconstruct(*one) for one in given]


class Single:
    """Stands in for the networks: a tetrahedron as each hand."""

    def __init__(self, device: torch.device, voxel_m: float) -> None:
        self.device, self.voxel_m = device, voxel_m

    def reconstruct(self, *_: object) -> dict[str, HandMesh]:
        corners = 0.05 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
        faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
        return {
            side: HandMesh(corners.astype(np.float32), faces, np.ones(16, np.float32)) for side in ("left", "right")
        }


def linear(count: int, device: torch.device) -> Any:
    """Stands in for the networks that are trained."""
    return torch.nn.Linear(3, 1), lambda net: net(torch.ones(count, 3, device=device)).sum()


def test_every_measurement_but_the_networks_runs_on_a_card(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finder = SimpleNamespace(detect=lambda frame: [], close=lambda: None)
    profile = SimpleNamespace(key_averages=lambda: [SimpleNamespace(count=8)])
    for owner, name, value in (
        (frames, "BatchReconstructor", Batches), (script, "single", Single),
        ("im2hands.surfaces.from_picture", "PictureReconstructor", lambda network, *, device, voxel_m, refine:
            Single(device, voxel_m)),
        ("im2hands.lab.bench.weights", "refined", lambda **_: None),
        ("im2hands.keypoints.sources", "make_provider", lambda device: finder),
        ("im2hands.media.images", "read_picture", lambda path: np.zeros((4, 4, 3), np.uint8)),
        (torch.cuda, "synchronize", lambda device: None), (torch.cuda, "set_sync_debug_mode", lambda mode: None),
        (torch.cuda, "reset_peak_memory_stats", lambda device: None),
        (torch.cuda, "max_memory_allocated", lambda device: 2**30),
        (torch.profiler, "profile", lambda activities: nullcontext(profile)),
        (script, "TRAININGS", {"a network": linear}),
    ):  # fmt: skip
        monkeypatch.setattr(owner if not isinstance(owner, str) else importlib.import_module(owner), name, value)
    script.bench_scenes()  # sooner without a pretended card
    with pretended_device("cuda:0") as card:
        plan = script.Plan(card.device, 8, (1, 8), (0.0022, script.PUBLISHED_VOXEL_M), 1)
        script.measure(script.measurements(plan))
    said = capsys.readouterr().out
    assert "failed" not in said
    for words in (
        "| least IoU with the processor's meshes, 1.72 mm | 1.00000 | 0.999 | met |",
        "| the same hands as on the processor | yes | yes | met |", "| photos, keypoints on the device |",
        "| kernels a frame, batch of 8 | 1 | 800 | met |", "| waits a frame, batch of 1 | 0 | 60 | met |",
        "| two-hand frames, bundled, 2.20 mm, batch of 8 |", "1.00 GB of the card | 30 a second |", "10 a second |",
        "| two-hand frames, published sizes, 1.72 mm, batch of 1 |", "| training step, a network, float32 |",
    ):  # fmt: skip
        assert words in said


@pytest.mark.parametrize("network", ["reading network", "lifting network", "refinement network"])
def test_a_training_step_runs_on_a_card(
    script: ModuleType, network: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    with pretended_device("cuda:0") as card:
        script.training(script.Plan(card.device, 1, (1,), (0.01,), 1), network)
    assert card.kernels.total() > 100 and f"| training step, {network}, float32 |" in capsys.readouterr().out


def test_the_parts_of_the_share_are_there(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = importlib.import_module("gpu_counts")
    monkeypatch.delitem(sys.modules, "gpu_counts")
    for work, places in counts.parts().items():
        assert all(hasattr(owner, name) for owner, name in places), work
    now = iter(range(10))
    monkeypatch.setattr(counts.time, "process_time", lambda: next(now))
    clock = counts.Clock()
    inner = clock.timed(lambda: lambda: None, counts.SEARCHES)  # prepared, and done later
    clock.timed(lambda: inner()(), "outer")()
    assert clock.spent == {"outer": 3, counts.SEARCHES: 2}
