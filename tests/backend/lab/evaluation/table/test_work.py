"""Long runs of the table: continuation after an interruption, cached keypoints, and several worker processes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.errors import Im2HandsError, InputError, SetupError, WeightsError
from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.evaluation.held_out import TrueScene
from im2hands.lab.evaluation.table import tools as table_tools
from im2hands.lab.evaluation.table.kept_keypoints import KeptKeypoints
from im2hands.lab.evaluation.table.rows import whole_lines
from im2hands.lab.evaluation.table.scene import ExactKeypoints
from im2hands.media.source import Frame
from im2hands.weights.folder import BUNDLED
from scene_pictures import make_set

METHODS = ("part_occupancy", "aligned_occupancy", "image_encoder")


class Moved(ExactKeypoints):
    """The true keypoints, shifted by 2 mm along each axis; interrupts the run at the scene ``stop_at``."""

    asked: ClassVar[list[int]] = []
    stop_at: ClassVar[int] = -1

    def __init__(self, name: str, hands: str, two_hand_weights: Path | None) -> None:
        assert hands == "auto"

    def hands_in_clip(self, scenes: object) -> list[TwoHands]:
        raise AssertionError("the scenes are photos")

    def hands(self, scene: TrueScene) -> TwoHands:
        if scene.number == Moved.stop_at:
            raise KeyboardInterrupt
        Moved.asked.append(scene.number)
        hands = super().hands(scene).present()
        return TwoHands(**{hand.side: replace(hand, positions=hand.positions + 0.002) for hand in hands})


def test_keypoints_are_looked_for_once_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table_tools, "FoundKeypoints", Moved)
    monkeypatch.setattr(Moved, "asked", [])
    weights = tmp_path / "weights"
    weights.mkdir()
    for name in METHODS:
        for path in BUNDLED.glob(f"{name}.*"):
            shutil.copy(path, weights)
    arguments = ["evaluate", "table", "--data", str(make_set(tmp_path / "world", 3, 0)), "--sources", "auto"]
    arguments += ["--voxel-mm", "6", "--device", "cpu", "--json", "--keypoints-folder", str(tmp_path / "kept")]
    first = [*arguments, "--weights", str(weights), "--output", str(tmp_path / "a"), "--methods", "halo"]
    monkeypatch.setattr(Moved, "stop_at", 1)
    assert main(first) == 130
    monkeypatch.setattr(Moved, "stop_at", -1)
    assert main(first) == 0
    assert Moved.asked == [0, 1, 2]
    lines = whole_lines(tmp_path / "a" / "results-1-of-1.jsonl")
    assert [json.loads(line)["scene"] for line in lines] == [0, 1, 2]
    capsys.readouterr()

    # A row added later, and a second table with other surface weights, use the cached keypoints.
    assert main([*first, "--methods", "halo,halo*"]) == 0
    halo = {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"]}["halo"]
    weight = weights / "aligned_occupancy.safetensors"
    weight.write_bytes(weight.read_bytes() + b"\0")
    other = [word if word != str(tmp_path / "a") else str(tmp_path / "b") for word in first]
    assert main(other) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["mpjpe_mm"] == halo["mpjpe_mm"] and len(Moved.asked) == 3

    # Another two-hand network detects other keypoints: the cache is not used.
    (weights / "two_hand_network.safetensors").write_bytes(b"another")
    assert main([*other, "--restart"]) == 0
    assert Moved.asked == [0, 1, 2, 0, 1, 2]


def test_kept_keypoints_are_the_same_to_the_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hand = HandKeypoints("left", rng.random((21, 3)), rng.random((21, 2)), rng.random(21), 0.7, "palm_seed")
    scene = TrueScene(4, Frame(4, 0.0, np.zeros((8, 8, 3), np.uint8), "x"), Camera.from_focal(9, 8, 8), {}, {}, "near")

    class Source(ExactKeypoints):
        def hands(self, scene: TrueScene) -> TwoHands:
            return TwoHands(left=hand)

    def never() -> ExactKeypoints:
        raise AssertionError("it is kept")

    found, seconds = KeptKeypoints(tmp_path, "auto-1", Source).found(scene)
    kept = KeptKeypoints(tmp_path, "auto-1", never)
    again, as_long = kept.found(scene)
    assert found.left is hand and kept.knows(4) and not kept.knows(5) and as_long == seconds and again.right is None
    for name in ("positions", "pixels", "confidence"):
        assert np.array_equal(getattr(again.left, name), getattr(hand, name))
    assert (again.left.side, again.left.score, again.left.source) == ("left", 0.7, "palm_seed")  # type: ignore[union-attr]
    assert not KeptKeypoints(tmp_path, "auto-2", never).knows(4)
    (tmp_path / "auto-1-9.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(InputError, match="does not hold keypoints"):
        KeptKeypoints(tmp_path, "auto-1", never)


def test_several_processes_say_what_one_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_set(tmp_path / "world", 2, 0)
    arguments = ["evaluate", "table", "--data", str(data), "--sources", "exact", "--methods", "halo", "--voxel-mm", "6"]
    arguments += ["--device", "cpu", "--json", "--output"]
    rows = []
    for workers in ("1", "2"):
        assert main([*arguments, str(tmp_path / workers), "--workers", workers]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["workers"] == int(workers) and report["rows"][0].pop("seconds") > 0
        rows.append(report["rows"])
    # Rounding depends on the number of threads. The last bit of a vertex can move a random point on the surface.
    (one,), (two,) = rows
    assert one["scenes"] == two["scenes"] == 2 and one["both_found"] == two["both_found"] == 1
    for name, within in (("iou", 1e-4), ("chamfer_mm", 0.005), ("mpjpe_mm", 1e-6), ("gap_mm", 1e-6)):
        assert one[name] == pytest.approx(two[name], abs=within)
    assert main([*arguments, str(tmp_path / "0"), "--workers", "0"]) == 2
    assert "--workers 0 is not possible" in capsys.readouterr().err


@pytest.mark.parametrize("error", [InputError, SetupError, WeightsError])
def test_a_source_that_cannot_be_made_is_left_out(tmp_path: Path, error: type[Im2HandsError]) -> None:
    def refuse() -> ExactKeypoints:
        asked.append(1)
        raise error("The machine lacks something.")

    asked: list[int] = []
    plan = table_tools.Plan(None, None, "bundled", None, "auto", 2.0, "cpu", 1, 1, tmp_path, (("auto", "auto-1"),), ())
    tools = table_tools.Tools(plan)
    tools._photos = {"auto": KeptKeypoints(tmp_path, "auto-1", refuse)}
    assert tools.finders({"auto"}, 1) == tools.finders({"auto"}, 2) == {}
    assert asked == [1]
