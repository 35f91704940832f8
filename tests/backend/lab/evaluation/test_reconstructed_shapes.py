"""``im2hands evaluate shapes --reconstruct``: the baselines on the crops of a prepared split, with any weights."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from im2hands.app.cli.main import main
from im2hands.core.camera import Camera
from im2hands.core.hands import HandKeypoints, TwoHands
from im2hands.lab.bench import weights as bench_weights
from im2hands.lab.evaluation.measures import inside, sealed
from im2hands.lab.evaluation.shapes.truth import TruthFolder
from im2hands.networks.folded_parts import HIDDEN
from im2hands.surfaces.load import load_reconstructor

sys.path.insert(0, str(Path(__file__).parents[1]))
from prepared_layout import canonical_hand, opened, write_hand

NO_FIT = {"R": np.eye(3)[None], "pose": np.zeros((1, 45)), "shape": np.zeros((1, 10)), "trans": np.zeros((1, 3))}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame with two views; the second has no keypoints in ``pred_joints``."""
    folder = tmp_path_factory.mktemp("prepared") / "test"
    mesh, joints = canonical_hand()
    for name in ("0_12_left", "0_12_right"):
        write_hand(folder, name, sealed(opened(mesh)), joints, points=20_000, cloud=20_000)
    for sub in ("anno", "img", "pred_joints"):
        (folder / sub).mkdir()
    truth = TruthFolder(folder)
    for view in range(2):
        intrinsics = np.array([[250.0, 0, 128], [0, 250, 128], [0, 0, 1]])
        camera = {"R": np.eye(3, dtype=np.float32), "t": np.array([0, 0, 0.3 + 0.1 * view], np.float32)}
        anno = {
            "inter_idx": view, "image": {"capture": 0, "frame_idx": 12}, "annotation": {},
            "mano_params": {"left": NO_FIT, "right": NO_FIT}, "camera": {**camera, "camera": intrinsics},
        }  # fmt: skip
        (folder / "anno" / f"{view}.pkl").write_bytes(pickle.dumps(anno, protocol=3))
        cv2.imwrite(str(folder / "img" / f"{view}.jpg"), np.full((256, 256, 3), 90, np.uint8))
    for side in ("left", "right"):
        shape = truth.shape(f"0_12_{side}")
        points = shape.to_world(shape.keypoints) - shape.root * shape.mirror  # about the wrist
        rows = "\n".join(" ".join(f"{v:.7f}" for v in row) for row in points)
        head = "ply\nformat ascii 1.0\nelement vertex 21\nproperty float x\nproperty float y\nproperty float z\n"
        (folder / "pred_joints" / f"0000000_{side}.ply").write_text(f"{head}end_header\n{rows}\n", "utf-8")
    return folder


def evaluate(split: Path, output: Path, *more: str) -> dict[str, dict]:
    points = ["--surface-points", "5000", "--interior-points", "2000", "--voxel-mm", "4", "--device", "cpu"]
    assert main(["evaluate", "shapes", "--data", str(split), "--output", str(output), *points, *more]) == 0
    report = json.loads((output / "report.json").read_text("utf-8"))
    return {row["method"]: row for row in report["rows"]}


def pooled(row: dict, alignment: str, key: str) -> float:
    return row["alignments"][alignment]["pooled"][key]["mean"]


def test_the_halo_baselines_with_true_keypoints(split: Path, tmp_path: Path) -> None:
    both = ["--reconstruct", "HALO=halo", "--reconstruct", "HALO*=halo*"]
    rows = evaluate(split, tmp_path, *both)
    for name in ("HALO", "HALO*"):
        assert rows[name]["hands"] == rows[name]["hands_found"] == 4
        assert pooled(rows[name], "none", "iou_uniform") > 0.7
        assert pooled(rows[name], "middle-mcp", "mpjpe_interhand_mm") == pytest.approx(0, abs=0.01)
        assert rows[name]["relative_root_error_mm"]["mean"] == pytest.approx(0, abs=0.01)
    made = tmp_path / "meshes" / "HALO" / "0000000_left.off"
    before = made.stat().st_mtime_ns
    evaluate(split, tmp_path, *both)
    assert made.stat().st_mtime_ns == before, "an interrupted run goes on"


def test_meshes_that_were_made_otherwise_are_not_scored(
    split: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(split, tmp_path, "--reconstruct", "HALO=halo")
    arguments = ["evaluate", "shapes", "--data", str(split), "--output", str(tmp_path), "--voxel-mm", "4"]
    for more, words in (
        (["--reconstruct", "HALO=halo", "--joints", "pred"], "another joints"),
        (["--reconstruct", "HALO=halo*"], "another method, another weights"),
        (["--reconstruct", "HALO=halo", "--voxel-mm", "5"], "another voxel_mm"),
    ):
        assert main([*arguments, *more]) == 2
        assert words in capsys.readouterr().err
    (tmp_path / "meshes" / "HALO" / "made_from.json").unlink()
    assert main([*arguments, "--reconstruct", "HALO=halo"]) == 2
    assert "not what they were made from" in capsys.readouterr().err


def test_names_of_rows_are_no_paths(split: Path, tmp_path: Path) -> None:
    output = tmp_path / "a" / "b" / "out"
    for name in ("../../../up", "..", "a/b"):
        evaluate(split, output, "--reconstruct", f"{name}=halo", "--voxel-mm", "9", "--every", "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert sorted(path.name for path in output.iterdir()) == ["meshes", "report.json", "samples.csv", "table.md"]
    assert len(list((output / "meshes").iterdir())) == 3


def test_views_without_predicted_keypoints_are_misses(split: Path, tmp_path: Path) -> None:
    rows = evaluate(split, tmp_path, "--reconstruct", "HALO=halo", "--joints", "pred")
    assert rows["HALO"]["hands_found"] == rows["HALO"]["hands_missing"] == 2
    found = pooled(rows["HALO"], "none", "iou_uniform")
    assert 0.35 < found < 0.5


def test_the_authors_halo_weights_under_their_own_name(split: Path, tmp_path: Path) -> None:
    """``model_best.pt`` of HALO's training is imported, serves ``--stage keypoints``, and is a row of the table."""
    state = {
        f"decoder.{name}": value[:, :HIDDEN].clone() if name.endswith("_2.weight") else value
        for name, value in bench_weights.halo().published_state_dict().items()
    }
    torch.save({"model": state, "it": 1000, "epoch_it": 3, "loss_val_best": 0.9}, tmp_path / "model_best.pt")
    weights = tmp_path / "weights"
    assert main(["weights", "import", str(tmp_path / "model_best.pt"), "--to", str(weights)]) == 0
    assert (weights / "halo_baseline.safetensors").exists()
    truth = TruthFolder(split).shape("0_12_right")
    points = truth.to_world(truth.keypoints) + np.array([0, 0, 0.3])
    camera = Camera(250, 250, 128, 128, 256, 256)
    hands = TwoHands(right=HandKeypoints("right", points, camera.project(points), np.ones(21), 1.0, "file"))
    surfaces = load_reconstructor(weights, device=torch.device("cpu"), voxel_m=0.004, stage="keypoints")
    mesh = surfaces.reconstruct(None, camera, hands)["right"]
    assert surfaces.provenance["stage"] == "keypoints"
    assert inside(sealed(mesh), points.astype(np.float64)[[0, 5, 9, 13, 17, 10]]).all()
    rows = evaluate(split, tmp_path / "out", "--reconstruct", f"HALO=halo,weights={weights}")
    assert rows["HALO"]["hands_found"] == 4
    assert pooled(rows["HALO"], "none", "iou_uniform") > 0.6


@pytest.mark.parametrize("text", ["HALO", "HALO=mano", "=halo"])
def test_methods_that_do_not_exist(split: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "shapes", "--data", str(split), "--output", str(tmp_path), "--reconstruct", text]
    assert main(arguments) == 2
    assert "halo*" in capsys.readouterr().err
