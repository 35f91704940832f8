"""How the hands of a frame meet: in its record, in its file, and in what is read of older takes."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts, FakeReconstructor, keypoint_rows
from im2hands.core.camera import Camera
from im2hands.core.errors import TakeError
from im2hands.core.hands import Side, TwoHands
from im2hands.geometry.contact import TOUCH_M, parted
from im2hands.media.source import Frame
from im2hands.surfaces.from_keypoints import HandMesh
from im2hands.take.take import Take

RunJob = Callable[..., Any]
NEAR_M = 0.091  # metres between the wrists: the fakes' hands are balls of 50 mm


@pytest.fixture
def near_job(pictures: Path, tmp_path: Path, run_job: RunJob) -> Callable[[float], Take]:
    """A function that makes a take of hands whose centres are a given distance apart."""

    def make(apart: float) -> Take:
        rows = keypoint_rows(range(3, 7))
        for hands in rows["frames"].values():
            left, right = np.array(hands["left"]), np.array(hands["right"])
            hands["right"] = (right - right.mean(axis=0) + left.mean(axis=0) + [apart, 0.002, 0.003]).tolist()
        path = tmp_path / "near.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        run_job(pictures, parts=FakeParts(), keypoints=str(path))
        return Take.open(tmp_path / "take")

    return make


def test_contact_of_a_frame_is_in_its_record_and_its_file(near_job: Callable[[float], Take]) -> None:
    take = near_job(NEAR_M)
    contact = take.records[4].extra["contact"]
    hands = take.read_frame(4)
    assert contact["penetration_ml"] > 0.5
    assert contact["deepest_mm"] == pytest.approx(100 - 1e3 * np.linalg.norm((NEAR_M, 0.002, 0.003)), abs=2.5)
    centres = [hands[side]["keypoints"].mean(axis=0) for side in ("left", "right")]
    assert np.linalg.norm(np.mean(centres, axis=0) - contact["deepest"]) < 0.03
    assert contact["left"] and contact["right"]
    for side, hand in hands.items():
        assert 0 < len(hand["contact"]) < len(hand["vertices"]), side
    again = parted({side: (hand["vertices"], hand["faces"]) for side, hand in hands.items()})[1]
    assert again.penetration_ml < 0.1 * contact["penetration_ml"]


def test_hands_apart_have_no_contact(near_job: Callable[[float], Take]) -> None:
    take = near_job(0.1 + 4 * TOUCH_M)
    assert take.records[3].extra["contact"] == {"penetration_ml": 0.0, "deepest_mm": 0.0}
    assert all("contact" not in hand for hand in take.read_frame(3).values())
    assert all(hand["thickness"] == 1 for hand in take.read_frame(3).values())  # keypoints of a file


def test_the_addon_reads_contact_and_takes_without_it(
    near_job: Callable[[float], Take], addon_reader: types.ModuleType
) -> None:
    take = near_job(NEAR_M)
    record = addon_reader.read_take(take.folder).records[4]
    entry = take.records[4].extra["contact"]
    assert (record.contact.penetration_ml, record.contact.deepest_mm) == (entry["penetration_ml"], entry["deepest_mm"])
    assert list(record.contact.deepest) == entry["deepest"]
    assert record.contact.parts["left"] == tuple(entry["left"])
    assert record.contact.doubt == "hands in each other"
    assert set(addon_reader.read_take(take.folder).read_hands(4)) == {"left", "right"}
    path = take.folder / "take.json"
    content = json.loads(path.read_text("utf-8"))
    for one in content["frames"]:
        del one["contact"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert addon_reader.read_take(take.folder).records[4].contact is None
    assert "contact" not in Take.open(take.folder).records[4].extra


@pytest.mark.parametrize(
    "entry",
    [
        [],
        {},
        {"penetration_ml": 1.0},
        {"penetration_ml": -1.0, "deepest_mm": 1.0},
        {"penetration_ml": "much", "deepest_mm": 1.0},
        {"penetration_ml": 1.0, "deepest_mm": 1.0, "deepest": [1.0]},
        {"penetration_ml": 1.0, "deepest_mm": 1.0, "left": 3},
    ],
)
def test_damaged_contact_is_told(
    entry: object, near_job: Callable[[float], Take], addon_reader: types.ModuleType
) -> None:
    folder = near_job(NEAR_M).folder
    path = folder / "take.json"
    content = json.loads(path.read_text("utf-8"))
    content["frames"][0]["contact"] = entry
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TakeError, match="damaged"):
        Take.open(folder)
    with pytest.raises(Exception, match="damaged"):
        addon_reader.read_take(folder)


class _Nan(FakeReconstructor):
    """Makes surfaces that are no numbers on one frame."""

    def reconstruct(self, frame: Frame, camera: Camera, hands: TwoHands) -> dict[Side, HandMesh]:
        made = super().reconstruct(frame, camera, hands)
        if frame.index != 5:
            return made
        return {side: replace(mesh, vertices=mesh.vertices * np.float32(np.nan)) for side, mesh in made.items()}


def test_surfaces_that_are_no_numbers_fail_their_frame_alone(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures, parts=FakeParts(reconstructor=_Nan()))
    records = Take.open(tmp_path / "take").records
    assert [records[index].status for index in (3, 4, 5, 6)] == ["ok", "ok", "failed", "ok"]
    assert "no take can hold these hands" in records[5].message
