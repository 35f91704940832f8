"""The road of ``docs/reproducing-the-paper.md``: its commands parse, and run on a tiny imitation of the data."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from im2hands.app.cli.lab import TASKS, task_parser
from im2hands.app.cli.main import build_parser, main
from interhand_files import write_interhand
from mano_files import write_mano

PAGES = [
    Path(__file__).parents[3] / "docs" / name for name in ("reproducing-the-paper.md", "keypoint-sources.md", "farm.md")
]


def commands(page: Path) -> list[list[str]]:
    lines = re.findall(r"^im2hands .*$", page.read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_the_page_exist(page: Path) -> None:
    found = commands(page)
    assert len(found) > 2
    parsers = {name: task_parser(name) for name in TASKS}
    for words in found:
        parser = parsers.get(words[0])
        (parser.parse_args(words[1:]) if parser else build_parser().parse_args(words))


def test_from_the_photos_to_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mano = write_mano(tmp_path / "mano")
    mini = write_interhand(tmp_path / "mini", mano=mano)
    contents = "meta,points,points_iou,pointcloud,mesh"
    prepare = ["data", "prepare", "interhand", "--root", str(mini.root), "--split", "test", "--mano", str(mano)]
    assert main([*prepare, "--out", str(tmp_path / "data"), "--contents", contents, "--points", "4000"]) == 0
    split = tmp_path / "data" / "test"
    assert main(["data", "check", "prepared", "--data", str(split)]) == 0
    shutil.copytree(split / "gt_joints", split / "pred_joints")
    capsys.readouterr()
    truth = ["--truth", str(split), "--annotations", str(split / "anno")]
    method = ["--method", f"IntagHand={split / 'pred_joints'}", "--json"]
    assert main(["evaluate", "keypoints", *truth, *method]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert row["misses"] == 0 and row["figures"]["absolute_mm"]["pooled"]["mean"] == pytest.approx(0, abs=0.01)
    few = ["--surface-points", "3000", "--interior-points", "1000", "--voxel-mm", "5", "--device", "cpu"]
    few += ["--every", "3"]  # a view of each frame
    shapes = ["evaluate", "shapes", "--data", str(split), "--output", str(tmp_path / "table"), *few]
    assert main([*shapes, "--reconstruct", "HALO=halo", "--joints", "pred", "--page"]) == 0
    report = json.loads((tmp_path / "table" / "report.json").read_text("utf-8"))
    row = next(row for row in report["rows"] if row["method"] == "HALO")
    assert row["hands_found"] == row["hands"] > 0
    assert row["alignments"]["none"]["pooled"]["iou_points"]["mean"] > 0
    # The true meshes against themselves: IoU 1 and the floor.
    same = ["--method", f"true={split / 'mesh'},frame=canonical", "--align", "none"]
    assert main([*shapes[: -len(few)], *few, "--output", str(tmp_path / "same"), *same]) == 0
    report = json.loads((tmp_path / "same" / "report.json").read_text("utf-8"))
    row = next(row for row in report["rows"] if row["method"] == "true")
    assert row["alignments"]["none"]["pooled"]["iou_uniform"]["mean"] > 0.99
    floor = report["protocol"]["chamfer_floor_mm"]
    assert row["alignments"]["none"]["pooled"]["chamfer_l1_mm"]["mean"] == pytest.approx(floor, rel=0.15)
