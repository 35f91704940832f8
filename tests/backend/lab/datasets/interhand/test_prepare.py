"""Preparation of a tiny set: what is kept, the files and their agreement, resuming, and bad input."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh

from im2hands.app.cli.keypoints import SOURCE_NAMES
from im2hands.app.cli.main import main
from im2hands.core import files
from im2hands.core.errors import InputError, TakeError
from im2hands.core.hands import SIDES
from im2hands.geometry.mesh_file import read_mesh_file
from im2hands.lab.datasets.interhand import prepare as prepare_module
from im2hands.lab.datasets.interhand.annotation import read_annotation
from im2hands.lab.datasets.interhand.check import check_prepared
from im2hands.lab.datasets.interhand.layout import crop_indices, joints_path, read_hand, read_joints, read_points
from im2hands.lab.datasets.interhand.prepare import PrepareSettings, prepare
from im2hands.lab.datasets.interhand.reprojection import reproject
from interhand_files import KEPT, MiniSet, write_interhand
from mano_files import write_mano

POINTS = 3000


@pytest.fixture(scope="module")
def mano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mano(tmp_path_factory.mktemp("mano"))


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory, mano: Path) -> MiniSet:
    return write_interhand(tmp_path_factory.mktemp("mini"), mano=mano)


def _settings(mini: MiniSet, output: Path, **more: Any) -> PrepareSettings:
    return PrepareSettings(mini.root, "test", mini.mano, output, **{"points": POINTS, **more})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, mini: MiniSet) -> Path:
    """A split with all kinds of files."""
    output = tmp_path_factory.mktemp("prepared")
    contents = ("meta", "points", "points_iou", "pointcloud", "mesh", "mesh_scaled")
    prepare(_settings(mini, output, contents=contents))
    return output / "test"


def _all_files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_is_kept_and_what_is_left_out_is_said(mini: MiniSet, tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    report = prepare(_settings(mini, tmp_path), progress=lambda *step: said.append(step))
    assert said[0] == ("photo", 0, 12) and ("photo", 12, 12) in said and said[-1] == ("frame", 4, 4)
    assert report.kept == KEPT and report.pictures == 18 and report.frames == 4 and report.files == 4 * 2 * 4
    assert report.skipped == {
        "the hands are not annotated as interacting": 3, "a hand has no MANO fit": 3,
        "the photo is dark: its mean is below 10": 1,
    }  # fmt: skip
    assert 3 < report.fit_mm["left"] < 6 and 3 < report.fit_mm["right"] < 6 and "corrected" in report.mano_note
    kept = [read_annotation(tmp_path / "test" / "anno" / f"{k}.pkl").sample for k in range(KEPT)]
    numbers = [sample.image["id"] for sample in kept]
    assert numbers == sorted(numbers)  # the order of the annotations, without gaps
    assert crop_indices(tmp_path / "test") == list(range(KEPT))


def test_the_files_are_where_the_published_programs_look(prepared: Path, mini: MiniSet) -> None:
    frames = {("0", "20625"), ("0", "20631"), ("1", "100"), ("1", "106")}
    names = {f"{capture}_{frame}_{side}" for capture, frame in frames for side in SIDES}
    for kind in ("meta", "points", "points_iou", "pointcloud"):
        assert {path.name for path in (prepared / kind).iterdir()} == {f"{name}.npz" for name in names}
    assert set((prepared / "datalist.txt").read_text("utf-8").split()) == names
    assert (prepared / "InterHand2.6M_test_MANO_NeuralAnnot.json").is_file()
    assert (prepared / "gt_joints" / "0000003_left.ply").is_file()
    content = pickle.loads((prepared / "anno" / "3.pkl").read_bytes())  # as the published loader reads it
    assert content["inter_idx"] == 3 and content["image"]["frame_idx"] and content["annotation"]["hand_type"]
    fit = content["mano_params"]["left"]
    assert {name: value.shape for name, value in fit.items()} == {
        "R": (1, 3, 3), "pose": (1, 45), "shape": (1, 10), "trans": (1, 3)
    }  # fmt: skip
    assert {value.dtype for value in fit.values()} == {np.dtype(np.float32)}
    camera = content["camera"]
    assert camera["camera"].dtype == np.float64 and camera["R"].dtype == camera["t"].dtype == np.float32
    assert b"numpy._core" not in (prepared / "anno" / "3.pkl").read_bytes()
    points = np.load(prepared / "points" / "0_20625_left.npz")
    assert points["points"].shape == (POINTS, 3) and points["occupancies"].shape == (POINTS // 8,)


def test_pictures_keypoints_and_meshes_agree(prepared: Path, mini: MiniSet) -> None:
    seen = reproject(_settings(mini, prepared.parent))
    assert seen.crops == KEPT and seen.keypoints_px < 1e-3 and seen.meshes_px < 1e-3 and seen.is_good
    assert 0.5 < seen.annotated_px < 5 and seen.inside == 1.0
    for index in range(KEPT):
        annotation = read_annotation(prepared / "anno" / f"{index}.pkl")
        image = cv2.imread(str(prepared / "img" / f"{index}.jpg"))
        assert image.shape == (256, 256, 3)
        posed = mini.posed[annotation.sample.capture, annotation.sample.frame]
        vertices = np.concatenate([posed[side].vertices for side in SIDES])
        pixels = annotation.camera.project(vertices)
        np.testing.assert_allclose(max(np.ptp(pixels, axis=0)), 0.8 * 256, atol=1e-3)
        for side in SIDES:
            np.testing.assert_allclose(
                read_joints(joints_path(prepared, index, side)), posed[side].keypoints, atol=1e-7
            )


def test_a_wrong_camera_is_noticed(prepared: Path, mini: MiniSet, tmp_path: Path) -> None:
    copy = tmp_path / "out" / "test"
    shutil.copytree(prepared, copy)
    annotation = read_annotation(copy / "anno" / "0.pkl")
    annotation.camera.matrix[0, 2] += 0.5  # half a pixel
    (copy / "anno" / "0.pkl").write_bytes(annotation.to_bytes(0))
    seen = reproject(_settings(mini, copy.parent))
    assert not seen.is_good and abs(seen.keypoints_px - 0.5) < 1e-3


def test_points_and_meshes_agree(prepared: Path) -> None:
    for name in (prepared / "datalist.txt").read_text("utf-8").split():
        hand = read_hand(prepared, name)
        vertices, faces = read_mesh_file(prepared / "mesh" / f"{name}.off")
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        assert mesh.is_watertight and mesh.volume > 0
        scaled, _ = read_mesh_file(prepared / "mesh_scaled" / f"{name}.off")
        np.testing.assert_allclose(scaled * 0.4, vertices, atol=1e-8)
        np.testing.assert_allclose(hand.from_world(hand.to_world(vertices)), vertices, atol=1e-6)
        _, inside = read_points(prepared, name)
        assert 0.1 < inside.mean() < 0.4 and inside[: POINTS // 2].mean() < 0.05
    found = check_prepared(prepared)
    assert not found.problems and found.iou > 0.98 and found.joints_mm < 1e-3 and found.inside == 1.0
    assert found.crops == KEPT and found.hands == 8 and found.order


def test_workers_and_interruptions_do_not_change_the_files(mini: MiniSet, tmp_path: Path, prepared: Path) -> None:
    contents = ("meta", "points", "points_iou", "pointcloud", "mesh", "mesh_scaled")
    first = _settings(mini, tmp_path, contents=contents, limit=4)
    assert prepare(first, workers=2).kept == 4
    journal = tmp_path / "test" / "samples.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"image": 10')  # killed while it wrote
    (tmp_path / "test" / "img" / "4.jpg").write_bytes(b"half")
    report = prepare(_settings(mini, tmp_path, contents=contents), resume=True)
    assert report.kept == KEPT and report.frames == 4
    assert _all_files(tmp_path / "test") == _all_files(prepared)


def test_what_is_finished_is_not_made_again(mini: MiniSet, tmp_path: Path) -> None:
    prepare(_settings(mini, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "test" / "points").iterdir()}
    time.sleep(0.02)
    assert prepare(_settings(mini, tmp_path), resume=True).files == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_half_written_files_are_made_again(mini: MiniSet, tmp_path: Path, prepared: Path) -> None:
    prepare(_settings(mini, tmp_path))
    folder = tmp_path / "test"
    for name in ("points/0_20625_left.npz", "meta/1_106_right.npz", "mesh/1_100_left.off", "pointcloud/1_100_left.npz"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-200])
    (folder / "points" / "0_20631_left.npz").unlink()
    found = check_prepared(folder)
    assert any("0_20625_left.npz is cut off or damaged" in problem for problem in found.problems)
    with pytest.raises(InputError, match=r"0_20625_left\.npz is cut off or damaged"):
        read_points(folder, "0_20625_left")
    report = prepare(_settings(mini, tmp_path), resume=True)
    assert report.files == 5 and report.repaired == 4
    whole = _all_files(prepared)
    assert _all_files(folder).items() <= whole.items()


def test_meshes_without_faces_are_named_and_made_again(mini: MiniSet, tmp_path: Path, prepared: Path) -> None:
    prepare(_settings(mini, tmp_path))
    path = tmp_path / "test" / "mesh" / "0_20625_left.off"
    path.write_text("OFF\n0 0 0\n", "utf-8")
    assert any("0_20625_left.off has no faces" in problem for problem in check_prepared(tmp_path / "test").problems)
    assert prepare(_settings(mini, tmp_path), resume=True).repaired == 1
    assert path.read_bytes() == (prepared / "mesh" / path.name).read_bytes()


def test_a_share_that_is_not_known_is_no_number(
    tmp_path: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """No crop of the split can be looked at."""
    shutil.copytree(prepared, tmp_path / "test")
    for path in (tmp_path / "test" / "img").iterdir():
        path.write_bytes(b"")
    assert main(["data", "check", "prepared", "--data", str(tmp_path / "test")]) == 1
    said = capsys.readouterr().out
    assert "keypoints in the crop: unknown" in said and "nan" not in said and "The picture of crop 0 is missing" in said


@pytest.mark.parametrize("name", ["R", "camera"])
def test_a_crop_with_a_damaged_camera_is_named(tmp_path: Path, prepared: Path, name: str) -> None:
    shutil.copytree(prepared, tmp_path / "test")
    path = tmp_path / "test" / "anno" / "3.pkl"
    content = pickle.loads(path.read_bytes())
    content["camera"][name] = np.zeros((3, 3))
    path.write_bytes(pickle.dumps(content, 2))
    assert any(
        "3.pkl is no annotation of a crop: its camera" in one for one in check_prepared(path.parents[1]).problems
    )


def test_photos_that_are_listed_twice_are_cropped_once(tmp_path: Path, mano: Path) -> None:
    def change(files: dict[str, Any]) -> None:
        for name in ("images", "annotations"):
            files["data"][name] += files["data"][name][:6]

    report = prepare(_settings(write_interhand(tmp_path, mano=mano, change=change), tmp_path / "out"))
    assert report.kept == KEPT and report.skipped["the photo is listed twice"] == 3


def test_fits_of_another_hand_are_told(tmp_path: Path, mano: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(files: dict[str, Any]) -> None:
        for frames in files["MANO_NeuralAnnot"].values():
            for fits in frames.values():
                if fits["left"]:
                    fits["left"]["pose"][:3] = [0.5, 2.5, 0.3]

    mini = write_interhand(tmp_path, mano=mano, change=change)
    where = ["--root", str(mini.root), "--split", "test", "--mano", str(mano), "--out", str(tmp_path / "out")]
    assert main(["data", "prepare", "interhand", *where, "--points", "100", "--workers", "1"]) == 1
    assert "PROBLEM  The MANO fits of the left hand are" in capsys.readouterr().out


def test_annotated_joints_can_be_the_true_ones(mini: MiniSet, tmp_path: Path) -> None:
    report = prepare(_settings(mini, tmp_path, joints="annotated"))
    assert report.kept == KEPT - 3 and report.skipped["not all annotated keypoints are valid"] == 3  # a frame has none
    seen = reproject(_settings(mini, tmp_path, joints="annotated"))
    assert seen.annotated_px < 1e-3 and seen.is_good and not check_prepared(tmp_path / "test").problems


def test_bad_fits_can_be_left_out(mini: MiniSet, tmp_path: Path) -> None:
    report = prepare(_settings(mini, tmp_path, max_fit_error_mm=4.7))
    assert (
        3 <= report.kept < KEPT
        and report.skipped["the MANO fit is too far from the annotated keypoints"] == KEPT - report.kept
    )


def _change(files: dict[str, Any]) -> None:
    """A missing camera, MANO parameters that are not finite, hands outside their photo, and no frame in joint_3d."""
    for key in ("campos", "camrot", "focal", "princpt"):
        del files["camera"]["0"][key]["400287"]
    files["MANO_NeuralAnnot"]["0"]["20631"]["left"]["pose"][5] = float("nan")
    files["MANO_NeuralAnnot"]["1"]["100"]["right"]["trans"][0] += 3.0
    del files["joint_3d"]["1"]["106"]


def test_entries_that_cannot_be_used_are_left_out_with_the_reason(tmp_path: Path, mano: Path) -> None:
    mini = write_interhand(tmp_path, mano=mano, change=_change)
    (mini.root / "images" / "test" / "Capture1" / "ROM01_No_Interaction_2_Hand" / "cam400262" / "image106.jpg").unlink()
    path = next((mini.root / "images").rglob("cam400287/image106.jpg"))
    path.write_bytes(path.read_bytes()[:200])
    small = next((mini.root / "images").rglob("cam410001/image20625.jpg"))
    cv2.imwrite(str(small), np.full((50, 60, 3), 90, np.uint8))
    report = prepare(_settings(mini, tmp_path / "out"))
    assert report.skipped == {
        "the hands are not annotated as interacting": 3,
        "a hand has no MANO fit": 3,
        "the camera is missing in the camera file, or damaged": 1,
        "the MANO parameters of a hand are damaged or not finite": 3,
        "a hand lies outside the photo or behind the camera": 3,
        "the photo is missing or damaged": 2,
        "the photo has another size than its annotation says": 1,
    }
    assert report.kept == 2
    reasons = [json.loads(line) for line in (tmp_path / "out" / "test" / "samples.jsonl").read_text().splitlines()][1:]
    assert all("skipped" in line or "index" in line for line in reasons)


def test_a_set_without_an_interacting_frame_is_refused(tmp_path: Path, mano: Path) -> None:
    def none(files: dict[str, Any]) -> None:
        for mark in files["data"]["annotations"]:
            mark["hand_type"] = "right"

    mini = write_interhand(tmp_path, mano=mano, change=none)
    with pytest.raises(InputError, match="No photo of the split test shows two interacting hands") as error:
        prepare(_settings(mini, tmp_path / "out"))
    assert "18 because the hands are not annotated as interacting" in error.value.message


def test_mano_fits_and_both_hands_of_mano_are_needed(mini: MiniSet, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(mini.mano / "MANO_RIGHT.pkl", alone)
    with pytest.raises(InputError, match=r"has no MANO_LEFT\.pkl"):
        prepare(PrepareSettings(mini.root, "test", alone, tmp_path / "out"))
    copy = tmp_path / "interhand"
    shutil.copytree(mini.root, copy)
    (copy / "annotations" / "test" / "InterHand2.6M_test_MANO_NeuralAnnot.json").unlink()
    with pytest.raises(InputError, match="MANO_NeuralAnnot"):
        prepare(PrepareSettings(copy, "test", mini.mano, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_loses_nothing(
    mini: MiniSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared: Path
) -> None:
    write, written = files._write_synced, [0]

    def fill(handle: Any, data: bytes) -> None:
        written[0] += len(data)
        if written[0] > 60_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(handle, data)

    monkeypatch.setattr(prepare_module, "_BATCH", 2)
    monkeypatch.setattr(files, "_write_synced", fill)
    with pytest.raises(TakeError, match="No space left on device"):
        prepare(_settings(mini, tmp_path))
    done = (tmp_path / "test" / "samples.jsonl").read_text("utf-8").count("index")
    assert 0 < done < KEPT and not list(tmp_path.rglob("*.tmp"))
    monkeypatch.setattr(files, "_write_synced", write)
    assert prepare(_settings(mini, tmp_path), resume=True).kept == KEPT
    assert _all_files(tmp_path / "test").items() <= _all_files(prepared).items()


def test_other_settings_and_other_folders_are_not_mixed(mini: MiniSet, tmp_path: Path) -> None:
    prepare(_settings(mini, tmp_path, limit=2))
    with pytest.raises(InputError, match="holds a preparation"):
        prepare(_settings(mini, tmp_path))
    with pytest.raises(InputError, match=r"other settings \(seed\)"):
        prepare(_settings(mini, tmp_path, seed=5), resume=True)
    (tmp_path / "test" / "samples.jsonl").unlink()
    with pytest.raises(InputError, match="crops of another program"):
        prepare(_settings(mini, tmp_path), resume=True)
    for wrong in (
        {"contents": ("meta", "skin")},
        {"joints": "my"},
        {"points": 0},
        {"limit": 0},
        {"max_fit_error_mm": -1.0},
        {"seed": -1},
    ):
        with pytest.raises(InputError):
            prepare(_settings(mini, tmp_path / "x", **wrong))
    with pytest.raises(InputError):
        prepare(_settings(mini, tmp_path / "x"), workers=0)


@pytest.mark.parametrize("odd", ["\0", "/dev/null", "x" * 5000])
def test_odd_folders_are_refused_in_words(
    mini: MiniSet, odd: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--root", str(mini.root), "--split", "test"]
    prepare_it = ["data", "prepare", "interhand", *where, "--workers", "1", "--points", "10"]
    for arguments in (
        [*prepare_it, "--mano", str(mini.mano), "--out", odd], [*prepare_it, "--mano", odd, "--out", "out"],
        ["data", "check", "interhand", "--root", odd, "--split", "test"], ["data", "check", "prepared", "--data", odd],
        ["data", "check", "egohands", "--root", odd], ["data", "check", "rgb2hands", "--root", odd],
    ):  # fmt: skip
        assert main(arguments) == 2
        assert "went wrong inside" not in capsys.readouterr().err


def test_the_commands(mini: MiniSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--root", str(mini.root), "--split", "test", "--mano", str(mini.mano)]
    assert main(["data", "list"]) == 0
    listed = capsys.readouterr().out
    known = ("interhand", "prepared", "rgb2hands", "egohands", "pred-joints", "meshes", "checkpoints")
    converters = tuple(f"keypoints:{name}" for name in SOURCE_NAMES)
    assert len(converters) == 9
    assert all(f"\n{name}: " in f"\n{listed}" for name in (*known, *converters))
    assert main(["data", "check", "interhand", *where]) == 0
    assert "12 can be prepared" in capsys.readouterr().out
    out = ["--out", str(tmp_path / "out"), "--points", "2000", "--workers", "1"]
    assert main(["data", "prepare", "interhand", *where, *out]) == 0
    text = capsys.readouterr().out
    assert f"{KEPT} crops of 4 frames, of 18 pictures" in text and "3 left out: a hand has no MANO fit" in text
    assert "Reprojection of 11 crops" in text
    assert main(["data", "prepare", "interhand", *where, *out]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["data", "prepare", "interhand", *where, *out, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reprojection"]["crops"] == KEPT
    assert main(["data", "check", "prepared", "--data", str(tmp_path / "out" / "test"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["crops"] == KEPT
    (tmp_path / "out" / "test" / "img" / "3.jpg").unlink()
    assert main(["data", "check", "prepared", "--data", str(tmp_path / "out" / "test")]) == 1
    assert "1 crops have no picture, the first is 3" in capsys.readouterr().out
    assert main(["data", "check", "prepared", "--data", str(tmp_path)]) == 2
