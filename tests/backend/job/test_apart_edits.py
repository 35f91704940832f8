"""The correction "apart": frames made again with the hands out of each other, taken back, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts, bytes_of, keypoint_rows
from im2hands.core.errors import InputError
from im2hands.job.rebuild import RebuildJob
from im2hands.take.edits import Edits
from im2hands.take.take import Take

RunJob = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fixed_date")


def edits(*given: dict[str, Any]) -> Edits:
    listed = [{"id": f"e{k}"} | one for k, one in enumerate(given)]
    return Edits.from_dict({"format": "im2hands-edits", "version": 1, "edits": listed})


def rebuild(take: Path, *given: dict[str, Any]) -> None:
    RebuildJob(take, edits(*given), None, lambda _: None, lambda: False, FakeParts()).run()


@pytest.fixture
def take(pictures: Path, tmp_path: Path, run_job: RunJob) -> Path:
    """A take whose hands lie one in the other in the frames 3 to 6."""
    rows = keypoint_rows(range(3, 7))
    for hands in rows["frames"].values():
        left, right = np.array(hands["left"]), np.array(hands["right"])
        hands["right"] = (right - right.mean(axis=0) + left.mean(axis=0) + [0.004, 0.0, 0.006]).tolist()
    path = tmp_path / "inside.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    run_job(pictures, keypoints=str(path))
    return tmp_path / "take"


def between(take: Path, index: int) -> float:
    """How far the hands of a frame are from each other in depth, metres."""
    hands = Take.open(take).read_frame(index)
    return float(hands["right"]["keypoints"][:, 2].mean() - hands["left"]["keypoints"][:, 2].mean())


def test_hands_are_taken_apart_in_a_range_and_put_back(take: Path) -> None:
    before = bytes_of(take)
    rebuild(take, {"kind": "apart", "frames": [4, 5]})
    after = bytes_of(take)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"frames/000004.npz", "frames/000005.npz", "take.json", "edits.json"}
    assert between(take, 3) == pytest.approx(0.006, abs=1e-4)
    assert between(take, 4) > 0.02
    opened = Take.open(take)
    assert opened.records[4].extra["contact"] != opened.records[3].extra["contact"]
    assert opened.records[4].extra["edited"] is True
    assert opened.records[4].hands["left"]["confidence"] == opened.records[3].hands["left"]["confidence"]
    rebuild(take)
    assert bytes_of(take) == before


def test_apart_beside_other_edits(take: Path) -> None:
    rebuild(
        take,
        {"kind": "absent", "frame": 3, "side": "left"},
        {"kind": "apart", "frames": [3, 5]},  # one hand alone is in nothing
        {"kind": "swap", "frame": 4},
    )
    opened = Take.open(take)
    assert list(opened.records[3].hands) == ["right"]
    assert abs(between(take, 4)) > 0.02
    marks = edits({"kind": "pin", "frame": 4, "side": "left"}, {"kind": "apart", "frame": 4}).marks(4)
    assert (marks.pinned, marks.trusted, marks.absent) == ({"left"}, {"left"}, set())


def test_apart_names_no_side() -> None:
    with pytest.raises(InputError, match="names a side"):
        edits({"kind": "apart", "frame": 4, "side": "left"})
