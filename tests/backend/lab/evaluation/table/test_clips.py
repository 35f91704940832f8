"""Clip rows of the table: hands are tracked through a clip, clips are independent, and a run can be continued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.hands import MIDDLE_MCP, WRIST, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.lab.evaluation.held_out import TrueScene, true_scenes
from im2hands.lab.evaluation.table import tools as table_tools
from im2hands.lab.evaluation.table.kept_keypoints import KeptKeypoints
from im2hands.lab.evaluation.table.scene import ExactKeypoints, FoundKeypoints
from im2hands.media.source import Frame
from im2hands.weights.keypoint_networks import TWO_HAND
from scene_pictures import make_set

FRAMES = 5


class Shaky(ExactKeypoints):
    """The true keypoints, shifted by 3 mm in every second frame; the left hand is missing in the last frame."""

    made: ClassVar[list[Shaky]] = []

    def __init__(self, name: str, video: bool = False, two_hand_weights: Path | None = None) -> None:
        assert (name, video, two_hand_weights) == ("auto", True, TWO_HAND.bundled)
        self.seen: list[tuple[int, float]] = []
        self.closed = False
        Shaky.made.append(self)

    def hands(self, scene: TrueScene) -> TwoHands:
        self.seen.append((scene.number, scene.frame.time))
        hands = super().hands(scene)
        shift = np.array([0.003 * (len(self.seen) % 2), 0.0, 0.0])
        moved = [replace(hand, positions=hand.positions + shift) for hand in hands.present()]
        return TwoHands(**{hand.side: hand for hand in moved[len(self.seen) == FRAMES :]})

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(table_tools, "FoundKeypoints", Shaky)
    monkeypatch.setattr(Shaky, "made", [])
    return make_set(tmp_path / "clips", 2 * FRAMES, 0, clip=FRAMES)


def test_clips_are_measured_and_gone_on_with(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "table", "--clips", str(clips), "--output", str(tmp_path / "out"), "--voxel-mm", "5"]
    arguments += ["--sources", "exact,auto", "--methods", "halo", "--mesh-every", "3", "--device", "cpu"]
    arguments += ["--no-keypoint-refinement", "--json"]
    assert main([*arguments, "--clip-count", "1"]) == 0
    assert len(Shaky.made) == 1
    capsys.readouterr()
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    # The second run processed only the second clip, as a separate video.
    assert [[n for n, _ in one.seen] for one in Shaky.made] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert all(one.closed for one in Shaky.made)
    assert np.allclose(np.diff([time for _, time in Shaky.made[1].seen]), 1 / 30)
    assert report["rows"] == [] and report["clips"] == 2
    (row,) = report["clip_rows"]
    assert (row["source"], row["clips"], row["scenes"]) == ("auto", 2, 2 * FRAMES)
    assert row["both_found"] == 0.8 and row["mpjpe_mm"] < 1e-3 and row["gap_mm"] < 1e-3
    assert 0.6 < row["iou"] < 1 and 0.1 < row["chamfer_mm"] < 4
    assert row["jitter"] != pytest.approx(row["true_jitter"], rel=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "out" / "clips-1-of-1.jsonl").read_text().splitlines()]
    # Meshes of frames 0 and 3: both hands; keypoints of all frames: nine hands.
    assert [len(line["iou"]) for line in lines] == [4, 4] and [len(line["mpjpe_mm"]) for line in lines] == [9, 9]

    assert main(arguments[:-1]) == 0
    titles, figures, *notes = capsys.readouterr().out.splitlines()
    assert titles.split()[-5:] == ["s", "meshes", "clips", "jitter", "true"] and len(Shaky.made) == 2
    assert figures.split()[-4:-2] == ["4", "2"] and "every frame of a clip is processed;" in notes[0]

    # Every second frame, in order; the cached keypoints of all frames cannot be used for it.
    assert main([*arguments, "--clip-stride", "2", "--mesh-every", "2", "--restart"]) == 0
    assert [[n for n, _ in one.seen] for one in Shaky.made[2:]] == [[0, 2, 4], [5, 7, 9]]
    assert np.allclose(np.diff([time for _, time in Shaky.made[2].seen]), 2 / 30)
    strided = json.loads(capsys.readouterr().out)
    assert strided["clip_stride"] == 2
    assert [strided["clip_rows"][0][name] for name in ("scenes", "meshes", "clips")] == [6, 4, 2]
    assert main([*arguments[:-1], "--clip-stride", "2"]) == 2
    assert "options for clips: frames from mesh to mesh was 2, is 3" in capsys.readouterr().err

    # A run with another voxel size uses the cached keypoints.
    assert main([*arguments, "--restart", "--voxel-mm", "6"]) == 0
    again = json.loads(capsys.readouterr().out)["clip_rows"][0]
    assert len(Shaky.made) == 4 and again["iou"] != row["iou"]
    assert [again[name] for name in ("jitter", "mpjpe_mm", "gap_mm")] == [
        row[n] for n in ("jitter", "mpjpe_mm", "gap_mm")
    ]


def test_jitter_is_that_of_the_hands_in_space(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand at rest whose keypoints alternate by 3 mm: the third differences are 12 mm/frame³."""
    from im2hands.lab.evaluation.table.clips import measure_clip
    from im2hands.lab.evaluation.table.rows import RowKey

    class Nothing:
        def reconstruct(self, *anything: object) -> dict:
            return {}

    first = next(iter(true_scenes(clips, [0])))
    still = [replace(first, number=k, frame=replace(first.frame, index=k)) for k in range(FRAMES)]
    monkeypatch.setattr("im2hands.lab.evaluation.table.clips.true_scenes", lambda folder, frames: iter(still))
    kept = KeptKeypoints(tmp_path / "kept", "auto", lambda: Shaky("auto", True, TWO_HAND.bundled))
    (result,) = measure_clip(
        clips, range(FRAMES), {"halo": Nothing()}, {"auto": kept}, None, {RowKey("auto", False, "halo")}, 2,
    )  # fmt: skip
    assert result.true_jitter == 0.0 and result.jitter == pytest.approx(12.0)
    assert result.both == 0.8 and result.iou == []


def test_in_a_clip_a_source_is_told_what_it_saw_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[HandDetection]] = []
    given = HandDetection("left", np.zeros((21, 2)), np.zeros((21, 3)), np.ones(21), 1.0, "test")

    class Provider:
        name = "test"

        def detect(self, frame: Frame, previous: Sequence[HandDetection] = ()) -> list[HandDetection]:
            asked.append(previous)
            return [given]

        def close(self) -> None:
            asked.clear()

    kinds: list[bool] = []
    monkeypatch.setattr(
        "im2hands.keypoints.sources.make_provider",
        lambda name, video, two_hand_weights: kinds.append(video) or Provider(),
    )
    points = np.zeros((21, 3))
    points[MIDDLE_MCP] = points[WRIST] + (0.09, 0, 0)
    scene = TrueScene(
        0, Frame(0, 0.0, np.zeros((8, 8, 3), np.uint8), "x"), Camera.from_focal(9, 8, 8), {}, {"left": points}, "near"
    )
    for video, second in ((True, [given]), (False, ())):
        source = FoundKeypoints("auto", video=video)
        source.hands(scene)
        source.hands(scene)
        assert list(asked[0]) == [] and list(asked[1]) == list(second)
        source.close()
    assert kinds == [True, False]


def test_what_cannot_be_measured_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = make_set(tmp_path / "scenes", 2, 0)
    output = ["--output", str(tmp_path / "out")]
    for given, message in (
        ([], "nothing to measure"),
        (["--clips", str(scenes)], "not a set of clips"),
        (["--clips", str(scenes), "--page", "x.png"], "page shows scenes"),
        (["--clips", str(make_set(tmp_path / "short", 3, 0, clip=5))], "no complete clip"),
        (["--clips", str(make_set(tmp_path / "clips", 2, 0, clip=2)), "--sources", "exact"], "predicted keypoints"),
        (["--clips", str(scenes), "--mesh-every", "0"], "--mesh-every 0 is not possible"),
        (["--clips", str(scenes), "--clip-stride", "0"], "--clip-stride 0 is not possible"),
    ):
        assert main(["evaluate", "table", *output, *given]) == 2
        assert message in capsys.readouterr().err
