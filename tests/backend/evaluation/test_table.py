"""The table's rows from measured scenes: means, targets, results that survive an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from im2hands.cli import main
from im2hands.errors import InputError
from im2hands.evaluation.table import (
    Result,
    append_result,
    format_table,
    missed_targets,
    read_results,
    summarise,
)
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
    results = read_results(tmp_path)
    assert [r.scene for r in results] == [0, 1]
    assert results[0] == result()
    append_result(path, result(2))
    assert [r.scene for r in read_results(tmp_path)] == [0, 1, 2]


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "results-x.jsonl").write_text('{"something": "else"}\n')
    with pytest.raises(InputError, match="does not hold results"):
        read_results(tmp_path)


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
