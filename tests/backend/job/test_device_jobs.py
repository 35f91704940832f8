"""Jobs on graphics cards: batches, devices that stop, memory that runs out, takes of several devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes import FakeParts, FakeReconstructor, bytes_of
from im2hands.core.errors import FrameError, InputError, SetupError
from im2hands.geometry.searches import Nearest, Searches
from im2hands.job.components import Reconstructor
from im2hands.job.events import FrameDone, Warned
from im2hands.job.options import ReconstructOptions
from im2hands.take.take import Take

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


class CardParts(FakeParts):
    """Fake components on a graphics card."""

    device = "cuda"

    def device_name(self, options: ReconstructOptions, refused: Any = None) -> str:
        """The device that the test wants."""
        return self.device


class FakeBatches:
    """Makes two frames at once, and hands them out a step later; the second frame of all fails there."""

    size = 2

    def __init__(self, single: Reconstructor) -> None:
        self._single, self._begun, self.largest, self.seen = single, [], 0, 0

    def __enter__(self) -> FakeBatches:
        return self

    def __exit__(self, *_: object) -> None:
        assert not self._begun

    def advance(self, jobs: Sequence[Any]) -> list[Any]:
        """One step."""
        self.largest, finished = max(self.largest, len(jobs)), []
        for job in self._begun:
            self.seen += 1
            finished.append(FrameError("Not in a batch.") if self.seen == 2 else self._single.reconstruct(*job))
        self._begun = list(jobs)
        return finished


def test_batches_make_the_same_take(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    (pictures / "shot_0005.png").write_bytes(b"no picture")
    parts = CardParts()
    run_job(pictures, tmp_path / "alone", parts=parts)
    made: list[FakeBatches] = []

    def batches(options: ReconstructOptions, single: Reconstructor) -> FakeBatches:
        made.append(FakeBatches(single))
        return made[0]

    parts = CardParts()
    parts.batches = batches  # type: ignore[method-assign, assignment]
    finished, events = run_job(pictures, tmp_path / "together", parts=parts)
    assert finished.summary.failed == 1 and finished.summary.ok == 3 and made[0].largest == 2
    assert [event.index for event in events if isinstance(event, FrameDone)] == [5, 3, 4, 6]
    assert bytes_of(tmp_path / "together") == bytes_of(tmp_path / "alone")


class Failing(FakeReconstructor):
    """Fails at some frames, with an error of PyTorch."""

    def __init__(self, at: set[int], error: Exception) -> None:
        super().__init__()
        self.at, self.error = at, error

    def reconstruct(self, frame: Any, camera: Any, hands: Any) -> Any:
        """The meshes, or the error."""
        if frame.index in self.at:
            raise self.error
        return super().reconstruct(frame, camera, hands)


def _parts(at: set[int], error: Exception, device: str = "cuda") -> CardParts:
    parts = CardParts()
    parts.device = device
    parts.reconstructor = lambda *_: Failing(at, error)  # type: ignore[method-assign]
    return parts


@pytest.mark.parametrize(
    ("device", "error", "words"),
    [
        (
            "cuda",
            RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might"),
            "cuda stopped: CUDA",
        ),
        ("mps", NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS"), "lacks an op"),
    ],
)
def test_a_device_that_stops(
    pictures: Path, tmp_path: Path, run_job: RunJob, device: str, error: Exception, words: str
) -> None:
    with pytest.raises(SetupError, match=words) as caught:
        run_job(pictures, parts=_parts({5}, error, device))
    assert "--device cpu" in caught.value.hint and "might" not in caught.value.message
    assert sorted(Take.open(tmp_path / "take").records) == [3, 4]
    finished, _ = run_job(pictures, parts=FakeParts())
    assert finished.summary.reused == 2 and finished.summary.ok == 4


class Lost(Searches):
    """The searches of a card that has stopped."""

    def nearest(self, points: np.ndarray) -> Nearest:
        """The error."""
        raise RuntimeError("CUDA error: unspecified launch failure")


def test_a_device_that_stops_while_the_templates_are_fitted(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    parts, asked = CardParts(), []
    parts.searches = lambda name: asked.append(name) or Lost()  # type: ignore[method-assign, func-returns-value]
    with pytest.raises(SetupError, match="The device cuda stopped"):
        run_job(pictures, parts=parts, clean=True)
    assert asked == ["cuda"] and sorted(Take.open(tmp_path / "take").records) == [3, 4, 5, 6]
    finished, _ = run_job(pictures, parts=FakeParts())
    assert finished.summary.reused == 4


def test_an_error_of_another_kind_stays_what_it_is(pictures: Path, run_job: RunJob) -> None:
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run_job(pictures, parts=_parts({5}, RuntimeError("a mistake of ours")))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    ],
)
def test_memory_that_runs_out_costs_its_frames_alone(
    pictures: Path, tmp_path: Path, run_job: RunJob, error: Exception
) -> None:
    finished, _ = run_job(pictures, parts=_parts({3, 6}, error))
    assert finished.summary.ok == 2 and finished.summary.failed == 2
    records = Take.open(tmp_path / "take").records
    assert [records[index].status for index in (3, 4, 5, 6)] == ["failed", "ok", "ok", "failed"]
    assert "not enough memory" in records[3].message


def test_a_take_of_two_kinds_of_devices_says_so(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures / "shot_0003.png", parts=FakeParts())
    _, events = run_job(pictures / "shot_0003.png", parts=CardParts())
    (words,) = [event.message for event in events if isinstance(event, Warned) and "devices" in event.message]
    assert "cpu, cuda" in words
    assert Take.open(tmp_path / "take").header["provenance"]["devices"] == ["cpu", "cuda"]
    _, events = run_job(pictures / "shot_0003.png", parts=CardParts(), overwrite=True)
    assert "devices" not in Take.open(tmp_path / "take").header["provenance"]
    parts = CardParts()
    parts.device = "cuda:1"
    _, events = run_job(pictures / "shot_0003.png", parts=parts)
    assert not [event for event in events if isinstance(event, Warned) and "devices" in event.message]


@pytest.mark.parametrize("batch", ["0", "65", "10000", "-1", "many", "1.5", "", "9" * 40])
def test_numbers_of_frames_that_are_not_possible(batch: str) -> None:
    with pytest.raises(InputError, match="auto or 1 to 64"):
        ReconstructOptions(("a.png",), "take", batch=batch)


def test_numbers_of_frames() -> None:
    assert ReconstructOptions(("a.png",), "take").frames_at_once is None
    assert ReconstructOptions(("a.png",), "take", batch="64").frames_at_once == 64
    assert "batch" not in ReconstructOptions(("a.png",), "take").settings()  # it does not change the result
