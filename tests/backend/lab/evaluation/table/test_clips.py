"""Clip rows of the table: a clip's hands are found together, clips are independent, a run can be continued."""

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
from im2hands.core.errors import FrameError
from im2hands.core.hands import MIDDLE_MCP, WRIST, TwoHands
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.lab.evaluation.held_out import TrueScene, true_scenes
from im2hands.lab.evaluation.table import tools as table_tools
from im2hands.lab.evaluation.table.kept_keypoints import KeptKeypoints
from im2hands.lab.evaluation.table.scene import ExactKeypoints, FoundKeypoints, look_at_clip
from im2hands.media.source import Frame
from im2hands.weights.keypoint_networks import TWO_HAND
from scene_pictures import make_set

FRAMES = 5


class Shaky(ExactKeypoints):
    """The true keypoints, shifted by 3 mm in every second frame; the left hand is missing in the fifth frame."""

    made: ClassVar[list[Shaky]] = []
    asked_for: ClassVar[str] = "auto"

    def __init__(self, name: str, hands: str = "auto", two_hand_weights: Path | None = None) -> None:
        assert (name, hands, two_hand_weights) == ("auto", Shaky.asked_for, TWO_HAND.bundled)
        self.clips: list[list[tuple[int, float]]] = []
        self.closed = False
        Shaky.made.append(self)

    def hands(self, scene: TrueScene) -> TwoHands:
        raise AssertionError("the hands of a clip are found together")

    def hands_in_clip(self, scenes: Sequence[TrueScene]) -> list[TwoHands]:
        self.clips.append([(scene.number, scene.frame.time) for scene in scenes])
        found = []
        for number, scene in enumerate(scenes, start=1):
            shift = np.array([0.003 * (number % 2), 0.0, 0.0])
            hands = ExactKeypoints().hands(scene).present()
            moved = [replace(hand, positions=hand.positions + shift) for hand in hands]
            found.append(TwoHands(**{hand.side: hand for hand in moved[number == FRAMES :]}))
        return found

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(table_tools, "FoundKeypoints", Shaky)
    monkeypatch.setattr(Shaky, "made", [])
    monkeypatch.setattr(Shaky, "asked_for", "auto")
    return make_set(tmp_path / "clips", 2 * FRAMES, 0, clip=FRAMES)


def test_clips_are_measured_and_gone_on_with(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["evaluate", "table", "--clips", str(clips), "--output", str(tmp_path / "out"), "--voxel-mm", "5"]
    arguments += ["--sources", "exact,auto", "--methods", "halo", "--mesh-every", "3", "--device", "cpu"]
    arguments += ["--no-keypoint-refinement", "--json"]
    assert main([*arguments, "--clip-count", "1"]) == 0
    assert len(Shaky.made) == 1
    capsys.readouterr()
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    # The second run processed only the second clip, as a separate video.
    assert [numbers(one) for one in Shaky.made] == [[[0, 1, 2, 3, 4]], [[5, 6, 7, 8, 9]]]
    assert all(one.closed for one in Shaky.made)
    assert np.allclose(np.diff([time for _, time in Shaky.made[1].clips[0]]), 1 / 30)
    assert report["rows"] == [] and report["clips"] == 2
    (row,) = report["clip_rows"]
    assert (row["source"], row["clips"], row["scenes"]) == ("auto", 2, 2 * FRAMES)
    assert row["swaps"] == 0 and report["hands"] == "auto"
    assert row["both_found"] == 0.8 and row["mpjpe_mm"] < 1e-3 and row["gap_mm"] < 1e-3
    assert 0.6 < row["iou"] < 1 and 0.1 < row["chamfer_mm"] < 4
    assert row["jitter"] != pytest.approx(row["true_jitter"], rel=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "out" / "clips-1-of-1.jsonl").read_text().splitlines()]
    # Meshes of frames 0 and 3: both hands; keypoints of all frames: nine hands.
    assert [len(line["iou"]) for line in lines] == [4, 4] and [len(line["mpjpe_mm"]) for line in lines] == [9, 9]

    assert main(arguments[:-1]) == 0
    titles, figures, *notes = capsys.readouterr().out.splitlines()
    assert titles.split()[-6:] == ["s", "meshes", "clips", "swaps", "jitter", "true"] and len(Shaky.made) == 2
    assert figures.split()[-5:-2] == ["4", "2", "0"] and "every frame of a clip is processed;" in notes[0]

    # Every second frame, in order; the cached keypoints of all frames cannot be used for it.
    assert main([*arguments, "--clip-stride", "2", "--mesh-every", "2", "--restart"]) == 0
    assert [numbers(one) for one in Shaky.made[2:]] == [[[0, 2, 4], [5, 7, 9]]]
    assert np.allclose(np.diff([time for _, time in Shaky.made[2].clips[0]]), 2 / 30)
    strided = json.loads(capsys.readouterr().out)
    assert strided["clip_stride"] == 2
    assert [strided["clip_rows"][0][name] for name in ("scenes", "meshes", "clips")] == [6, 4, 2]
    assert main([*arguments[:-1], "--clip-stride", "2"]) == 2
    assert "options for clips: frames from mesh to mesh was 2, is 3" in capsys.readouterr().err

    # A run with another voxel size uses the cached keypoints.
    assert main([*arguments, "--restart", "--voxel-mm", "6"]) == 0
    again = json.loads(capsys.readouterr().out)["clip_rows"][0]
    assert len(Shaky.made) == 3 and again["iou"] != row["iou"]
    assert [again[name] for name in ("jitter", "mpjpe_mm", "gap_mm")] == [
        row[n] for n in ("jitter", "mpjpe_mm", "gap_mm")
    ]

    # What is known of the hands is an input: the cached keypoints of another answer cannot be used.
    assert main([*arguments[:-1], "--hands", "both"]) == 2
    assert "options: hands was auto, is both" in capsys.readouterr().err
    monkeypatch.setattr(Shaky, "asked_for", "both")
    assert main([*arguments, "--restart", "--hands", "both", "--clip-count", "1"]) == 0
    assert len(Shaky.made) == 4 and json.loads(capsys.readouterr().out)["hands"] == "both"


def numbers(source: Shaky) -> list[list[int]]:
    """The frames of each clip that a source was given."""
    return [[number for number, _ in clip] for clip in source.clips]


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
    kept = KeptKeypoints(tmp_path / "kept", "auto", lambda: Shaky("auto", "auto", TWO_HAND.bundled))
    (result,) = measure_clip(
        clips, range(FRAMES), {"halo": Nothing()}, {"auto": kept}, None, {RowKey("auto", False, "halo")}, 2,
    )  # fmt: skip
    assert result.true_jitter == 0.0 and result.jitter == pytest.approx(12.0)
    assert result.both == 0.8 and result.iou == []


def test_photos_and_clips_take_their_own_road(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene goes through ``detect``, a clip through ``detect_clip``; a clip that fails has no hands."""
    given = HandDetection("left", np.zeros((21, 2)), np.zeros((21, 3)), np.ones(21), 1.0, "test")
    asked: list[object] = []

    class Provider:
        def detect(self, frame: Frame) -> list[HandDetection]:
            asked.append(frame.index)
            return [given]

        def detect_clip(self, frames: Sequence[Frame]) -> list[list[HandDetection]]:
            asked.append([frame.index for frame in frames])
            if len(frames) > 2:
                raise FrameError("It cannot be read.")
            return [[given], []]

        def close(self) -> None:
            asked.append("closed")

    def make(name: str, hands: str, two_hand_weights: Path | None) -> Provider:
        asked.append((name, hands, two_hand_weights))
        return Provider()

    monkeypatch.setattr("im2hands.keypoints.sources.make_provider", make)
    points = np.zeros((21, 3))
    points[MIDDLE_MCP] = points[WRIST] + (0.09, 0, 0)
    picture = np.zeros((8, 8, 3), np.uint8)
    scenes = [
        TrueScene(k, Frame(k, 0.0, picture, "x"), Camera.from_focal(9, 8, 8), {}, {"left": points}, "near")
        for k in range(3)
    ]
    source = FoundKeypoints("auto", "left")
    assert source.hands(scenes[0]) is not None
    assert len(source.hands_in_clip(scenes[:2])) == 2
    failed = look_at_clip(scenes, source)
    assert [hands.present() for hands, _ in failed] == [[], [], []]
    assert len({seconds for _, seconds in failed}) == 1 and failed[0][1] >= 0
    source.close()
    assert asked == [("auto", "left", None), 0, [0, 1], [0, 1, 2], "closed"]


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
