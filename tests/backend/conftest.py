"""Fixtures of the backend's tests."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeParts, keypoint_rows, picture, write_picture
from im2hands.job.events import Event, Finished
from im2hands.job.reconstruct import ReconstructJob, ReconstructOptions


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the logs of tests out of the user's state folder."""
    monkeypatch.setenv("IM2HANDS_STATE", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with the numbered sequence shot_0003.png to shot_0006.png."""
    for number in range(3, 7):
        write_picture(tmp_path / "pictures" / f"shot_{number:04}.png", picture(number=number))
    return tmp_path / "pictures"


@pytest.fixture
def run_job(tmp_path: Path) -> Callable[..., tuple[Finished, list[Event]]]:
    """A function that runs a job with fake components and returns its result and its events."""

    def run(
        inputs: Path | Sequence[Path],
        output: Path | None = None,
        parts: FakeParts | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        **options: object,
    ) -> tuple[Finished, list[Event]]:
        paths = [inputs] if isinstance(inputs, Path) else list(inputs)
        options.setdefault("clean", False)  # the clean phase has its own tests
        given = ReconstructOptions(tuple(map(str, paths)), str(output or tmp_path / "take"), **options)  # type: ignore[arg-type]
        events: list[Event] = []
        finished = ReconstructJob(given, events.append, cancelled, parts or FakeParts()).run()
        return finished, events

    return run


@pytest.fixture
def keypoint_job(tmp_path: Path) -> dict[str, Any]:
    """Fields of a request for five frames with keypoints from a file, with the real networks and coarse voxels."""
    for number in range(1, 6):
        write_picture(tmp_path / "shots" / f"s{number:03}.png", picture(320, 240, number=number))
    (tmp_path / "keypoints.json").write_text(json.dumps(keypoint_rows(range(1, 6))), encoding="utf-8")
    options = {"keypoints": str(tmp_path / "keypoints.json"), "voxel_mm": 6.0, "device": "cpu", "clean": False}
    return {"inputs": [str(tmp_path / "shots")], "output": str(tmp_path / "take"), "options": options}


@pytest.fixture
def fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all takes of a test the same date."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def addon_reader(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Import the add-on's ``take.reader``. It needs no Blender, but the add-on's ``__init__`` does and is left out."""
    package = types.ModuleType("im2hands_addon")
    package.__path__ = [str(Path(__file__).parents[2] / "im2hands_addon")]
    monkeypatch.setitem(sys.modules, "im2hands_addon", package)
    for name in [name for name in sys.modules if name.startswith("im2hands_addon.")]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("im2hands_addon.take.reader")
