"""Evaluation of keypoint providers, on two scenes with known keypoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core.hands import SIDES
from im2hands.keypoints.hypothesis import HandDetection
from im2hands.keypoints.placing.confidence import Calibration
from im2hands.lab.datasets.scene import Scene
from im2hands.lab.evaluation import keypoints as evaluation
from im2hands.lab.evaluation.keypoints import camera_of, evaluate, write_calibration
from im2hands.media.source import Frame
from scene_pictures import make_scene, make_set


class Oracle:
    """A provider that returns the true hands, modified by ``change``."""

    name = "oracle"

    def __init__(self, scenes: Sequence[Scene], change) -> None:  # type: ignore[no-untyped-def]
        self.scenes, self.change = scenes, change

    def detect(self, frame: Frame) -> list[HandDetection]:
        scene = self.scenes[frame.index - 1]
        hands = []
        for k, side in enumerate(SIDES):
            if scene.present[k]:
                true = scene.keypoints[k].astype(np.float64)
                pixels = camera_of(scene).project(true)
                hands.append(HandDetection(side, pixels, true - true[0], np.full(21, 0.9), 0.95, "mediapipe"))
        return self.change(hands)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(11, 0), make_scene(12, 0, (False, True))]


def test_the_truth_is_found_wherever_it_lies(scenes: list[Scene]) -> None:
    report = evaluate(Oracle(scenes, list), scenes).report()
    assert (report["two_hand_pictures"], report["both_found"], report["both_found_right_sides"]) == (1, 1.0, 1.0)
    assert report["hands_found"] == 1.0 and report["invented_hands"] == 0
    assert report["picture_error_palms"] < 1e-6 and report["mpjpe_mm"] < 14  # lifting fits average bone lengths
    assert (report["one_hand_pictures"], report["second_hand_invented"]) == (1, 0.0)
    assert report["picture_error_palms_median"] < 1e-6
    assert report["hand_distance_error_mm"] < 250 and report["sources"] == {"mediapipe": 3}
    assert sum(row["keypoints"] for row in report["calibration"]) == 60


def test_exchanged_sides_missing_and_invented_hands_are_told_apart(scenes: list[Scene]) -> None:
    def swapped(hands: list[HandDetection]) -> list[HandDetection]:
        return [replace(hand, side="right" if hand.side == "left" else "left") for hand in hands]

    report = evaluate(Oracle(scenes, swapped), scenes).report()
    assert (report["both_found"], report["both_found_right_sides"], report["mpjpe_mm"]) == (1.0, 0.0, None)

    def elsewhere(hands: list[HandDetection]) -> list[HandDetection]:
        return [replace(hands[0], pixels=hands[0].pixels + 300), *hands[1:]]

    report = evaluate(Oracle(scenes, elsewhere), scenes).report()
    assert (report["both_found"], report["invented_hands"]) == (0.0, 2)
    assert report["hands_found"] == pytest.approx(1 / 3)

    def doubled(hands: list[HandDetection]) -> list[HandDetection]:
        return [hands[0], replace(hands[0], side="left")] if len(hands) == 1 else hands

    report = evaluate(Oracle(scenes, doubled), scenes).report()
    assert (report["one_hand_pictures"], report["second_hand_invented"], report["invented_hands"]) == (1, 1.0, 1)


def test_a_calibration_written_from_measurements_is_read_again(scenes: list[Scene], tmp_path: Path) -> None:
    measured = evaluate(Oracle(scenes * 2, list), scenes * 2)
    path = tmp_path / "table.json"
    write_calibration(path, {"oracle": measured}, 4)
    assert set(Calibration.read(path).tables) == {"mediapipe"}
    about = json.loads(path.read_text())
    assert about["scenes"] == 4 and about["keypoints"] == {"mediapipe": 120} and about["within_m"] == 0.01


def test_the_command_prints_a_table_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, scenes: list[Scene]
) -> None:
    folder = make_set(tmp_path / "set", 2, 0, single=True)
    asked: list[tuple[str, object]] = []

    def make(name: str, **options: object) -> Oracle:
        asked.append((name, options["hands"]))
        return Oracle([evaluation.SceneSet(folder).scene(k) for k in range(2)], list)

    monkeypatch.setattr(evaluation, "make_provider", make)
    assert (
        main(["evaluate", "keypoints", "--data", str(folder), "--providers", "auto", "network", "--hands", "both"]) == 0
    )
    shown = capsys.readouterr().out
    assert asked == [("auto", "both"), ("network", "both")] and "right sides" in shown and "100%" in shown
    assert main(["evaluate", "keypoints", "--data", str(folder), "--providers", "mediapipe", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert asked[-1] == ("mediapipe", "auto") and report["hands"] == "auto"
    assert report["scenes"] == 2 and report["providers"]["mediapipe"]["both_found_right_sides"] == 1.0
