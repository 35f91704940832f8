"""Photos whose hands are marked with points, and stretches of clips that show one hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from im2hands.core.errors import InputError
from im2hands.lab.bench.marked_points import RIGHT, read_marked, read_stretches

MARKED = {"shot": {"palm": 0.2, "left": {"0": [0.5, 0.5]}, "right": {"0": [0.25, 0.5], "8": [0.25, 0.25]}}}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "marks.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_errors_are_mean_distances_in_palms(tmp_path: Path) -> None:
    photo = read_marked(written(tmp_path, MARKED))["shot"]
    left, right = np.zeros((21, 2)), np.zeros((21, 2))
    left[0] = 199.5, 99.5  # the middle of 400 x 200 pixels
    right[0], right[8] = (99.5, 99.5 + 8), (99.5 + 24, 49.5)
    errors = photo.errors({"left": left, "right": right}, (400, 200))
    assert errors == {"left": 0.0, "right": pytest.approx(16 / 80)}
    missing = photo.errors({"left": left}, (400, 200))
    assert missing["left"] <= RIGHT < missing["right"]


@pytest.mark.parametrize(
    "content",
    [
        "[1]", "{", {"shot": {"left": {"0": [0.5, 0.5]}}}, {"shot": {"palm": 0, "left": {"0": [0.5, 0.5]}}},
        {"shot": {"palm": 0.2, "left": {"21": [0.5, 0.5]}}}, {"shot": {"palm": 0.2, "left": {}}},
        {"shot": {"palm": 0.2, "left": {"0": [0.5]}}}, '{"shot": {"palm": 0.2, "left": {"0": [NaN, 0.5]}}}',
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(InputError, match="does not hold marked points"):
        read_marked(written(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (read_marked, read_stretches):
        with pytest.raises(InputError, match=r"none\.json cannot be read"):
            read(tmp_path / "none.json")


def test_stretches(tmp_path: Path) -> None:
    assert read_stretches(written(tmp_path, {"clip": [[10, 42], [60, 60]]})) == {"clip": [(10, 42), (60, 60)]}
    for content in ([1], {"clip": [[1]]}, {"clip": 3}, {"clip": [["a", "b"]]}):
        with pytest.raises(InputError, match="does not hold stretches"):
            read_stretches(written(tmp_path, content))
