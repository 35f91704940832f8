"""Evaluation on marked photos: keypoint errors, silhouettes, contact sheets, missing hands."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fakes import FakeParts, FakeProvider
from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.lab.datasets.egohands import EgoHands
from im2hands.lab.datasets.rgb2hands import Rgb2Hands
from im2hands.lab.evaluation import marked_photos
from im2hands.lab.evaluation.marked_photos import evaluate_photos, measure_hand, summary
from mano_files import write_mano
from marked_files import Shown, write_egohands, write_rgb2hands


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sets")
    mano = write_mano(folder / "mano")
    return folder, write_rgb2hands(folder, mano), write_egohands(folder, mano)


def _keypoint_file(path: Path, shown: list[Shown]) -> str:
    frames = {
        str(k + 1): {side: points.tolist() for side, points in seen.keypoints.items()} for k, seen in enumerate(shown)
    }  # fmt: skip
    path.write_text(json.dumps({"order": "file", "unit": "m", "space": "camera", "frames": frames}), "utf-8")
    return str(path)


def test_true_keypoints_have_no_error_in_the_picture(sets: Any, tmp_path: Path) -> None:
    folder, shown, _ = sets
    photos = list(Rgb2Hands(folder).photos("seq04_scratch"))
    keypoints = _keypoint_file(tmp_path / "k.json", [shown["seq04_scratch", photo.name] for photo in photos])
    results = evaluate_photos(photos, tmp_path, keypoints=keypoints, stage="keypoints", voxel_mm=6.0)
    assert len(results) == 4 and all(result.found for result in results)
    assert max(result.keypoint_px or 9.0 for result in results) < 0.01 and summary(results)["iou"] is None
    sheet = cv2.imread(str(tmp_path / "sheets" / "seq04_scratch.jpg"))
    assert sheet.shape == (marked_photos.SHEET_HEIGHT, 2 * 320, 3)


def test_silhouettes_of_true_hands_fit_their_outlines(sets: Any, tmp_path: Path) -> None:
    folder, _, shown = sets
    photos = list(EgoHands(folder).photos("CHESS_OFFICE_H_S"))[:1]
    keypoints = _keypoint_file(tmp_path / "k.json", [shown["CHESS_OFFICE_H_S", photos[0].name]])
    results = evaluate_photos(photos, tmp_path, keypoints=keypoints, stage="keypoints", voxel_mm=4.0, fov=60.0)
    assert len(results) == 2 and all(0.75 < (result.iou or 0) <= 1 for result in results)
    assert all(result.keypoint_px is None for result in results)


def test_measures_of_a_hand(sets: Any) -> None:
    folder, shown, _ = sets
    photo = next(iter(Rgb2Hands(folder).photos("seq01_crossed")))
    camera = photo.camera
    assert camera is not None
    hand = {"keypoints": shown["seq01_crossed", photo.name].keypoints["left"]}
    moved = Camera(camera.fx, camera.fy, camera.cx + 3, camera.cy + 4, 640, 480)
    result = measure_hand(photo, "left", hand, moved)
    assert result.keypoint_px == pytest.approx(5.0)
    palm = np.linalg.norm(photo.keypoints["left"][5] - photo.keypoints["left"][17])
    assert result.keypoint_palms == pytest.approx(5.0 / palm) and result.iou is None
    missing = measure_hand(photo, "left", None, camera)
    assert not missing.found and missing.keypoint_px is None


def test_missing_hands_count_as_no_overlap(sets: Any) -> None:
    photo = next(iter(EgoHands(sets[0]).photos("CHESS_OFFICE_H_S")))
    camera = Camera.from_fov(60.0, 1280, 720)
    mesh = sets[2]["CHESS_OFFICE_H_S", photo.name].meshes["left"]
    whole = measure_hand(photo, "left", {"vertices": mesh.vertices, "faces": mesh.faces}, camera)
    assert whole.iou is not None and whole.iou > 0.97
    results = [whole, measure_hand(photo, "right", None, camera)]
    assert summary(results)["iou"] == pytest.approx(whole.iou / 2) and summary(results)["found"] == 0.5


def _arguments(data: str, root: Path, output: Path, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    marked_photos.add_arguments(parser)
    return parser.parse_args(["--data", data, "--root", str(root), "--output", str(output), *more])


def test_the_command(sets: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sets[0]
    parts = FakeParts(FakeProvider(sides=lambda index: ("left",)))
    assert marked_photos.run(_arguments("egohands", folder, tmp_path, "--photos", "2"), parts) == 0
    table = capsys.readouterr().out
    assert "| CARDS_COURTYARD_B_T | 3 | 33% |" in table and "| all | 6 | 33% |" in table
    assert table == (tmp_path / "results.md").read_text("utf-8")
    report = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert len(report["hands"]) == 6 and report["rows"]["all"]["found"] == pytest.approx(1 / 3)
    seen = parts.provider_made.seen.copy()
    assert marked_photos.run(_arguments("egohands", folder, tmp_path, "--photos", "2"), parts) == 0
    assert parts.provider_made.seen == seen  # what is reconstructed is not done again
    both = _arguments(
        "egohands", folder, tmp_path / "both", "--both-hands", "--json", "--sequences", "CHESS_OFFICE_H_S"
    )
    capsys.readouterr()
    assert marked_photos.run(both, FakeParts()) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["all"]["hands"] == 4
    with pytest.raises(InputError, match="no sequence 'JENGA'"):
        marked_photos.run(_arguments("egohands", folder, tmp_path, "--sequences", "JENGA"), parts)
    with pytest.raises(InputError, match="--photos 0"):
        marked_photos.run(_arguments("egohands", folder, tmp_path, "--photos", "0"), parts)
