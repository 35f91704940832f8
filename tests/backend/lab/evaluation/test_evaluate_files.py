"""``im2hands evaluate keypoints --truth`` and ``evaluate video``: keypoints in files against true ones."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.lab.datasets.part_occupancy import posed_hands
from im2hands.lab.evaluation.shapes.truth import TruthFolder

sys.path.insert(0, str(Path(__file__).parents[1]))
from prepared_layout import canonical_hand, opened, write_hand


def hands(frame: int) -> dict[str, np.ndarray]:
    """Two hands that move along a curve."""
    joints = posed_hands(1, 4, mean=True).keypoints[0].numpy()
    place = np.array([0.01 * np.sin(frame / 3), 0.005 * frame, 0.7])
    return {"right": joints + place + [0.1, 0, 0], "left": joints * (-1, 1, 1) + place - [0.1, 0, 0]}


def write(path: Path, frames: dict[int, dict[str, np.ndarray]]) -> Path:
    rows = {f"{k:06d}": {side: points.tolist() for side, points in here.items()} for k, here in frames.items()}
    path.write_text(json.dumps({"order": "file", "unit": "m", "space": "camera", "frames": rows}), "utf-8")
    return path


TRUE = {frame: hands(frame) for frame in range(12)}


def measured(capsys: pytest.CaptureFixture[str], task: str, *arguments: object) -> dict[str, dict]:
    assert main(["evaluate", task, *map(str, arguments), "--json"]) == 0
    return {row["method"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def test_moved_grown_and_missing_hands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write(tmp_path / "truth.json", TRUE)
    moved = {k: {s: p + np.array([0, 0, 0.010 if s == "left" else 0]) for s, p in h.items()} for k, h in TRUE.items()}
    grown = {k: {s: (p - p[9]) * 1.1 + p[9] for s, p in h.items()} for k, h in TRUE.items()}
    missing = {k: {s: p for s, p in h.items() if (k, s) != (3, "left")} for k, h in TRUE.items()}
    rows = measured(
        capsys, "keypoints", "--truth", truth, "--method", f"moved={write(tmp_path / 'm.json', moved)}",
        "--method", f"grown={write(tmp_path / 'g.json', grown)}", "--output", tmp_path / "out",
        "--method", f"missing={write(tmp_path / 'x.json', missing)}", "--method", "IntagHand=",
    )  # fmt: skip
    figures = rows["moved"]["figures"]
    assert figures["absolute_mm"]["left"]["mean"] == pytest.approx(10)
    both = figures["absolute_mm"]["mean of left and right"]["mean"]
    assert figures["absolute_mm"]["pooled"]["mean"] == pytest.approx(both)
    assert figures["mpjpe_interhand_mm"]["pooled"]["mean"] == pytest.approx(0, abs=1e-6)
    assert rows["moved"]["relative_root_mm"]["mean"] == pytest.approx(10)
    assert rows["grown"]["figures"]["mpjpe_intaghand_mm"]["pooled"]["mean"] == pytest.approx(0, abs=1e-6)
    assert rows["grown"]["figures"]["mpjpe_mcp_mm"]["pooled"]["mean"] > 3
    assert rows["missing"]["misses"] == 1 and rows["missing"]["misses_by_side"]["left"] == 1
    assert rows["missing"]["figures"]["absolute_mm"]["pooled"]["samples"] == 23
    assert rows["IntagHand"] == {"method": "IntagHand", "measured": False}
    assert (tmp_path / "out" / "page.jpg").stat().st_size > 5000
    table = (tmp_path / "out" / "table.md").read_text("utf-8")
    assert "root wrist, no scale" in table and "| IntagHand |  |" in table


def test_motion_of_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write(tmp_path / "truth.json", TRUE)
    rng = np.random.default_rng(0)
    shaking = {k: {s: p + rng.normal(0, 0.002, 3) for s, p in h.items()} for k, h in TRUE.items()}
    swapped = {k: h if k < 6 else {"left": h["right"], "right": h["left"]} for k, h in TRUE.items()}
    rows = measured(
        capsys, "video", "--truth", truth, "--method", f"same={truth}",
        "--method", f"shaking={write(tmp_path / 's.json', shaking)}",
        "--method", f"swapped={write(tmp_path / 'w.json', swapped)}",
    )  # fmt: skip
    assert rows["same"]["video"]["acceleration_mm"] == pytest.approx(0, abs=1e-9)
    assert rows["same"]["video"]["jitter"] == pytest.approx(rows["same"]["video"]["true_jitter"])
    # The second difference of noise has sqrt(6) times its deviation, the mean length of a 3-vector 1.6 times that.
    assert rows["shaking"]["video"]["acceleration_mm"] == pytest.approx(2 * 6**0.5 * 1.596, rel=0.25)
    assert rows["shaking"]["video"]["jitter"] > 5 * rows["same"]["video"]["jitter"]
    assert rows["same"]["video"]["swaps"] == 0 and rows["swapped"]["video"]["swaps"] >= 1


def test_times_far_apart_need_no_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = {frame + (10**10 if frame > 5 else 0): here for frame, here in TRUE.items()}
    near = {frame + (4 if frame > 5 else 0): here for frame, here in TRUE.items()}
    found = []
    for name, frames in (("late", late), ("near", near)):
        truth = write(tmp_path / f"{name}.json", frames)
        found.append(measured(capsys, "video", "--truth", truth, "--method", f"a={truth}")["a"]["video"])
    assert found[0] == found[1] and found[0]["jitter"] > 0


def test_the_prepared_layout_is_a_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh, joints = canonical_hand()
    split, turn, shift = tmp_path / "test", np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), np.array([0.0, 0.1, 0.6])
    for name in ("anno", "pred_joints"):
        (tmp_path / name).mkdir()
    for side in ("left", "right"):
        write_hand(split, f"0_12_{side}", opened(mesh), joints, points=200, cloud=200, mesh_file=False)
    for view in range(2):
        anno = {"image": {"capture": 0, "frame_idx": 12}, "camera": {"R": turn, "t": shift, "camera": np.eye(3)}}
        (tmp_path / "anno" / f"{view}.pkl").write_bytes(pickle.dumps(anno))
        for side in ("left", "right"):
            shape = TruthFolder(split).shape(f"0_12_{side}")
            points = shape.to_world(shape.keypoints) + np.array([0.003, 0.004, 0])
            rows = "\n".join(" ".join(map(str, row)) for row in points)
            head = "ply\nformat ascii 1.0\nelement vertex 21\nproperty double x\nproperty double y\nproperty double z\n"
            (tmp_path / "pred_joints" / f"{view:07d}_{side}.ply").write_text(f"{head}end_header\n{rows}\n", "utf-8")
    arguments = ["--truth", split, "--method", f"a={tmp_path / 'pred_joints'}"]
    rows = measured(capsys, "keypoints", *arguments, "--annotations", tmp_path / "anno")
    assert rows["a"]["hands"] == 4 and rows["a"]["misses"] == 0
    assert rows["a"]["figures"]["absolute_mm"]["pooled"]["mean"] == pytest.approx(5, abs=0.01)
    assert rows["a"]["figures"]["absolute_mm"]["pooled"]["groups"] == 1
    # A split with annotations of its own needs no option: its views, not its frames, have the numbers of the files.
    (tmp_path / "anno").rename(split / "anno")
    (split / "img").mkdir()
    assert measured(capsys, "keypoints", *arguments) == rows
    content = {"image": {"capture": 0, "frame_idx": 12}, "camera": {"R": turn * 0, "t": shift, "camera": np.eye(3)}}
    (split / "anno" / "1.pkl").write_bytes(pickle.dumps(content))
    assert main(["evaluate", "keypoints", *map(str, arguments)]) == 2
    assert "1.pkl is no annotation of a view" in capsys.readouterr().err


SEEN = ("400262", "400287")


def write_views(folder: Path, *, cameras: bool = True) -> tuple[Path, Path]:
    """Joint files and annotations of views: two cameras after each other, each with every third number."""
    joints, anno = folder / "gt_joints", folder / "anno"
    for one in (joints, anno):
        one.mkdir(parents=True)
    view = 0
    for number, camera in enumerate(SEEN):
        shift = np.array([0.0, 0.3 * number, 0.0])
        for time, here in TRUE.items():
            image = {"capture": 0, "frame_idx": 20625 + 3 * time, "seq_name": "ROM01"}
            image |= {"camera": camera} if cameras else {}
            seen = {"R": np.eye(3), "t": shift, "camera": np.eye(3)}
            (anno / f"{view}.pkl").write_bytes(pickle.dumps({"image": image, "camera": seen}))
            for side, points in here.items():
                write_points(joints / f"{view:07d}_{side}.ply", points)
            view += 1
    return joints, anno


def write_points(path: Path, points: np.ndarray) -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in points)
    head = "ply\nformat ascii 1.0\nelement vertex 21\nproperty double x\nproperty double y\nproperty double z\n"
    path.write_text(f"{head}end_header\n{rows}\n", "utf-8")


def test_views_are_ordered_by_their_cameras_and_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of views are no times: where the views of one camera end, those of the next begin."""
    one = write(tmp_path / "one.json", TRUE)
    wanted = measured(capsys, "video", "--truth", one, "--method", f"a={one}")["a"]["video"]
    joints, anno = write_views(tmp_path)
    given = ["--truth", joints, "--annotations", anno, "--method", f"a={joints}"]
    row = measured(capsys, "video", *given)["a"]
    assert row["video"] == pytest.approx({**wanted, "clips": 2}, abs=1e-9)
    assert row["figures"]["absolute_mm"]["pooled"]["groups"] == len(TRUE)


def test_views_whose_camera_is_unknown_are_no_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    joints, anno = write_views(tmp_path, cameras=False)
    given = ["--truth", str(joints), "--annotations", str(anno), "--method", f"a={joints}"]
    assert main(["evaluate", "video", *given]) == 2
    assert "Two views have the time 20625 of one clip" in capsys.readouterr().err
    assert main(["evaluate", "keypoints", *given]) == 0


@pytest.mark.parametrize("size", [0, 60, 300])
def test_half_written_keypoints_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    joints, anno = write_views(tmp_path)
    path = joints / "0000003_left.ply"
    path.write_bytes(path.read_bytes()[:size])
    assert main(["evaluate", "keypoints", "--truth", str(joints), "--annotations", str(anno), "--method", "a="]) == 2
    said = capsys.readouterr().err
    assert "The file of points" in said and "0000003_left.ply" in said and "mesh" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to measure"), (["--truth", "T"], "no hands to measure"),
        (["--truth", "T", "--method", "x"], "no name"),
        (["--truth", "T", "--method", "a=W"], "world frame"), (["--truth", "T", "--method", "a=O"], "no frame number"),
        (["--truth", "nowhere", "--method", "a=T"], "There is no"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {"T": "truth.json", "W": "world.json", "O": "other.json"}
    write(tmp_path / "truth.json", TRUE)
    write(tmp_path / "other.json", {99: TRUE[0]})
    (tmp_path / "world.json").write_text(
        (tmp_path / "truth.json").read_text("utf-8").replace("camera", "world"), "utf-8"
    )
    given = [named.get(one, one.replace("=W", "=world.json").replace("=O", "=other.json").replace("=T", "=truth.json"))
             for one in arguments]  # fmt: skip
    assert main(["evaluate", "keypoints", *given]) == 2
    assert words in capsys.readouterr().err
