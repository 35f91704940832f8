"""Rows of the table: means, targets, results after an interruption, the command, and the page of pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import RefinedHands, Side, TwoHands
from im2hands.lab.evaluation.held_out import TrueScene
from im2hands.lab.evaluation.overlay import COLOURS
from im2hands.lab.evaluation.table.page import SIZE, notable
from im2hands.lab.evaluation.table.rows import (
    Result,
    RowKey,
    append_result,
    format_table,
    missed_targets,
    read_results,
    summarise,
)
from im2hands.lab.evaluation.table.scene import ExactKeypoints, attempts
from im2hands.media.source import Frame
from scene_pictures import make_set

NAN = float("nan")


def result(scene: int = 0, method: str = "halo", source: str = "exact", **values: object) -> Result:
    base = Result(scene, "near", method, source, False, True, 1.0, 5.0, 0.2, [0.9, 0.8], [1.0, 2.0], [3.0, 5.0])
    return replace(base, **values)  # type: ignore[arg-type]


def test_rows_are_means_over_the_hands_that_were_found() -> None:
    missing = result(1, both=False, gap_mm=NAN, penetration_ml=NAN, iou=[0.4], chamfer_mm=[3.0], mpjpe_mm=[4.0])
    (row,) = summarise([result(), missing])
    assert row.iou == pytest.approx(0.7)
    assert row.chamfer_mm == pytest.approx(2.0)
    assert row.mpjpe_mm == pytest.approx(4.0)
    assert row.gap_mm == 5.0
    assert row.penetration_ml == 0.2
    assert row.both_found == 0.5
    assert row.scenes == 2


def test_rows_stand_in_order() -> None:
    results = [result(method=m, source=s) for s in ("auto", "exact") for m in ("refined", "halo")]
    rows = summarise([*results, result(source="auto", refined=True)])
    assert [(r.source, r.keypoint_refinement, r.method) for r in rows] == [
        ("exact", False, "halo"), ("exact", False, "refined"), ("auto", False, "halo"), ("auto", False, "refined"),
        ("auto", True, "halo"),
    ]  # fmt: skip
    assert "HALO (J)" in format_table(rows)


def test_missed_targets_say_by_how_much() -> None:
    rows = summarise([
        result(iou=[0.92], chamfer_mm=[0.9]),
        result(method="initial", iou=[0.95], penetration_ml=0.6),
        result(method="refined", iou=[0.93], chamfer_mm=[0.8], penetration_ml=0.3),
    ])  # fmt: skip
    missed = missed_targets(rows)
    assert len(missed) == 3
    assert "refined: IoU 0.93, target at least 0.95" in missed[0]
    assert "Chamfer mm 0.8, target at most 0.7" in missed[1]
    assert "penetration as a share of initial 0.5, target at most 0.333" in missed[2]


def test_results_survive_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "results-1-of-1.jsonl"
    append_result(path, result())
    append_result(path, result(1, gap_mm=NAN))
    with open(path, "a", encoding="utf-8") as handle:
        handle.write('{"scene": 2, "mode": "ne')
    results = read_results(tmp_path, Result)
    assert [r.scene for r in results] == [0, 1]
    assert results[0] == result()
    append_result(path, result(2))
    assert [r.scene for r in read_results(tmp_path, Result)] == [0, 1, 2]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results-x.jsonl").write_text('{"something": "else"}\n')
    with pytest.raises(InputError, match="does not hold results"):
        read_results(tmp_path, Result)


def test_the_command_measures_a_world_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_set(tmp_path / "world", 2, 0)
    arguments = ["evaluate", "table", "--data", str(data), "--output", str(tmp_path / "out"), "--voxel-mm", "4"]
    arguments += ["--sources", "exact", "--methods", "halo", "--device", "cpu", "--json"]
    assert main([*arguments, "--scenes", "1"]) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    (row,) = report["rows"]
    assert row["scenes"] == 2 and row["both_found"] == 1.0
    assert 0.7 < row["iou"] < 1.0 and 0.1 < row["chamfer_mm"] < 3.0
    assert row["mpjpe_mm"] < 1e-3 and row["gap_mm"] < 1e-3
    assert len((tmp_path / "out" / "results-1-of-1.jsonl").read_text().splitlines()) == 2
    assert main([*arguments, "--methods", "magic"]) == 2
    assert "no row 'magic'" in capsys.readouterr().err

    results = (tmp_path / "out" / "results-1-of-1.jsonl").read_bytes()
    page = tmp_path / "page.png"
    assert main([*arguments, "--page", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [row]
    assert (tmp_path / "out" / "results-1-of-1.jsonl").read_bytes() == results
    best, worst = cells(page)
    for cell in (best, worst):
        photo, overlay, side, truth = (colourful(cell[:, k * SIZE : (k + 1) * SIZE]) for k in range(4))
        assert min(overlay["left"], overlay["right"]) > 0.02 + max(photo["left"], photo["right"])
        for hand in ("left", "right"):
            assert 0.6 < side[hand] / truth[hand] < 1.7
    assert not np.array_equal(best, worst)


def cells(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of both scenes on a page with one row; two lines of text stand above and below the pictures."""
    page = cv2.imread(str(path))[..., ::-1]
    top = 2 * 18 + 8
    assert page.shape[0] == top + SIZE + top + 8
    pictures = page[top : top + SIZE]
    return pictures[:, : 4 * SIZE], pictures[:, 4 * SIZE + 8 : 8 * SIZE + 8]


def colourful(picture: np.ndarray) -> dict[str, float]:
    """Share of a picture that has each hand's colour, in any shade."""
    values = picture.astype(float)
    shares = {}
    for side, colour in COLOURS.items():
        direction = np.array(colour) / np.linalg.norm(colour)
        cosine = values @ direction / np.maximum(np.linalg.norm(values, axis=-1), 1)
        shares[side] = float(((cosine > 0.985) & (np.ptp(values, axis=-1) > 60)).mean())
    return shares


def test_the_page_shows_the_best_the_median_and_the_worst() -> None:
    exact = [result(k, iou=[iou, 0.9]) for k, iou in enumerate((0.5, 0.9, 0.7, 0.8))]
    assert {name: r.scene for name, r in notable(exact).items()} == {"best": 1, "median": 2, "worst": 0}
    # Predicted keypoints: ranked by MPJPE; a missing hand ranks below a hand with a large error.
    found = [
        result(0, source="auto", iou=[0.9], mpjpe_mm=[1.0]), result(1, source="auto", mpjpe_mm=[9.0, 9.0]),
        result(2, source="auto", mpjpe_mm=[4.0, 2.0]), result(3, source="auto", iou=[], mpjpe_mm=[]),
        result(4, source="auto", mpjpe_mm=[5.0, 6.0]),
    ]  # fmt: skip
    assert {name: r.scene for name, r in notable(found).items()} == {"best": 2, "median": 1, "worst": 3}
    assert list(notable(found[:2])) == ["best", "worst"] and list(notable(found[:1])) == ["best"]
    assert notable([]) == {}


@pytest.mark.parametrize(("name", "message"), [("page.txt", "not a picture file"), ("nowhere/page.png", "no folder")])
def test_a_page_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    arguments = ["evaluate", "table", "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--page", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_rows_that_are_missing_are_measured_and_no_others() -> None:
    """Refined keypoints are a separate row, even if the row of unrefined keypoints is already measured."""
    asked: list[str] = []

    class Source(ExactKeypoints):
        def hands(self, scene: TrueScene) -> TwoHands:
            asked.append("keypoints")
            return TwoHands()

    class Nothing:
        def reconstruct(self, frame: object, camera: object, hands: object) -> dict[Side, object]:
            asked.append("meshes")
            return {}

        def refine(self, frame: object, camera: object, hands: TwoHands) -> RefinedHands:
            asked.append("refinement")
            return RefinedHands(hands)

    camera = Camera.from_focal(500, 64, 64)
    scene = TrueScene(3, Frame(3, 0.0, np.zeros((64, 64, 3), np.uint8), "x"), camera, {}, {}, "near")
    wanted = {RowKey("auto", True, "halo")}
    made = list(attempts(scene, {"halo": Nothing(), "refined": Nothing()}, {"auto": Source(), "network": Source()},
                         Nothing(), wanted))  # fmt: skip
    assert [attempt.key for attempt in made] == [RowKey("auto", True, "halo")]
    assert asked == ["keypoints", "refinement", "meshes"]
