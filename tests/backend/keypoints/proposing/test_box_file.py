"""Hand box files: frames, entries for every frame, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from im2hands.core.errors import InputError
from im2hands.keypoints.proposing.box_file import HandBoxes


def test_a_frames_own_boxes_stand_before_those_of_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    frames = {"000012": {"left": [1, 2, 30, 40]}, "all": {"left": [5, 6], "right": [7, 8, 90, 100]}}
    path.write_text(json.dumps({"frames": frames}), encoding="utf-8")
    boxes = HandBoxes.read(path)
    np.testing.assert_array_equal(boxes.get(12)["left"], [1, 2, 30, 40])
    np.testing.assert_array_equal(boxes.get(12)["right"], [7, 8, 90, 100])
    np.testing.assert_array_equal(boxes.get(1)["left"], [5, 6])
    assert HandBoxes().get(3) == {}
    star = HandBoxes.from_dict({"frames": {"*": {"right": [1, 2]}}})
    assert set(star.get(99)) == {"right"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "frames"),
        ({"frames": {"x": {}}}, "no frame number"),
        ({"frames": {"1": {}, "01": {}}}, "twice"),
        ({"frames": {"1": [1]}}, "not a set of hands"),
        ({"frames": {"1": {"front": [1, 2]}}}, "'front'"),
        ({"frames": {"1": {"left": [1, 2, 3]}}}, "3 numbers"),
        ({"frames": {"1": {"left": [10, 10, 10, 50]}}}, "no area"),
        ({"frames": {"1": {"left": [50, 10, 10, 50]}}}, "no area"),
        ({"frames": {"1": {"left": [1, float("nan")]}}}, "not finite"),
        ({"frames": {"1": {"left": ["a", "b"]}}}, "not numbers"),
    ],
)
def test_bad_boxes_are_refused_in_plain_words(content: object, says: str) -> None:
    with pytest.raises(InputError) as caught:
        HandBoxes.from_dict(content, "boxes.json")
    assert says in str(caught.value) and caught.value.hint


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        HandBoxes.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not JSON"):
        HandBoxes.read(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("frames", "hands", "says"),
    [
        ({"12": {"right": [1, 2]}}, "left", "the right hand of frame 000012"),
        ({"all": {"left": [1, 2, 30, 40]}}, "right", "the left hand of every frame"),
        ({"1": {"left": [1, 2]}, "2": {"left": [1, 2], "right": [3, 4]}}, "left", "the right hand of frame 000002"),
    ],
)
def test_boxes_that_contradict_what_a_person_says_of_the_hands(
    tmp_path: Path, frames: dict, hands: str, says: str
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"frames": frames}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        HandBoxes.read(path, hands)
    assert says in caught.value.message and f"only the {hands} hand" in caught.value.message
    assert "--hands auto" in caught.value.hint
    for fits in ("auto", "both"):
        assert HandBoxes.read(path, fits).frames or HandBoxes.read(path, fits).every_frame
