"""``im2hands evaluate shapes`` on tiny files in the prepared layout: frames, misses, rows without data, bad files."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from im2hands.app.cli.main import main
from im2hands.core import files
from im2hands.core.errors import InputError
from im2hands.core.hands import HALO_TO_FILE
from im2hands.geometry.mesh_file import read_mesh_file, write_off
from im2hands.lab.evaluation.measures import Mesh, sealed
from im2hands.lab.evaluation.shapes import scores
from im2hands.lab.evaluation.shapes.predictions import Method, View, parse_method, read_prediction
from im2hands.lab.evaluation.shapes.truth import TruthFolder

sys.path.insert(0, str(Path(__file__).parents[1]))
from prepared_layout import canonical_hand, opened, write_hand

NAMES = ["0_12_left", "0_12_right", "0_15_left", "0_15_right"]


@pytest.fixture(scope="module")
def hand() -> tuple[Mesh, np.ndarray]:
    mesh, joints = canonical_hand()
    return sealed(opened(mesh)), joints


@pytest.fixture(scope="module")
def truth(hand: tuple[Mesh, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "test"
    for number, name in enumerate(NAMES):
        write_hand(folder, name, *hand, points=20_000, cloud=20_000, seed=number)
    return folder


POINT = "OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n"
"""A mesh without extent."""

FEWER = ["--surface-points", "20000", "--interior-points", "4000"]


def write_method(folder: Path, mesh: Mesh, names: list[str], offset: float = 0.0, joints: np.ndarray | None = None):
    """Meshes in the normalised frame, moved by ``offset`` metres along z; a left hand's faces point inward."""
    folder.mkdir()
    for name in names:
        faces = mesh.faces[:, ::-1] if name.endswith("left") else mesh.faces
        write_off(folder / f"{name}.off", (mesh.vertices + np.array([0, 0, offset])) / 0.4, faces)
        if joints is not None:
            (folder / "joints").mkdir(exist_ok=True)
            write_ply(folder / "joints" / f"{name}.ply", (joints + np.array([0, 0, offset])) / 0.4)


def write_ply(path: Path, points: np.ndarray) -> None:
    lines = "\n".join(" ".join(f"{v:.8f}" for v in point) for point in points)
    head = (
        f"ply\nformat ascii 1.0\nelement vertex {len(points)}\nproperty float x\nproperty float y\nproperty float z\n"
    )
    path.write_text(f"{head}end_header\n{lines}\n", "utf-8")


def test_same_shifted_and_missing_meshes(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mesh, joints = hand
    write_method(tmp_path / "same", mesh, NAMES)
    write_method(tmp_path / "shifted", mesh, NAMES, 0.002, joints)
    write_method(tmp_path / "missing", mesh, NAMES[:3])
    arguments = [
        "evaluate", "shapes", "--data", str(truth), "--output", str(tmp_path / "out"), "--page",
        "--method", f"ours={tmp_path / 'same'}",
        "--method", f"shifted={tmp_path / 'shifted'},joints={tmp_path / 'shifted' / 'joints'}",
        "--method", f"missing={tmp_path / 'missing'}", "--method", "IntagHand=", *FEWER,
    ]  # fmt: skip
    assert main(arguments) == 0
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    rows = {row["method"]: row for row in report["rows"]}

    def mean(row: str, alignment: str, key: str, side: str = "pooled") -> float:
        return rows[row]["alignments"][alignment][side][key]["mean"]

    assert mean("ours", "none", "iou_uniform") > 0.995
    assert mean("ours", "none", "iou_points") > 0.98
    assert mean("ours", "none", "chamfer_l1_mm") == pytest.approx(report["protocol"]["chamfer_floor_mm"], rel=0.1)
    assert rows["ours"]["not_measured"] == ["middle-mcp"]  # no keypoints were given
    assert rows["ours"]["penetration_ml"]["mean"] == 0
    assert 0.8 < mean("shifted", "none", "iou_uniform") < 0.92
    assert mean("shifted", "middle-mcp", "iou_uniform") > 0.99
    assert mean("shifted", "none", "mpjpe_interhand_mm") == pytest.approx(0, abs=0.01)
    assert rows["missing"]["hands_missing"] == 1
    assert mean("missing", "none", "iou_uniform") == pytest.approx(0.75, abs=0.01)
    assert mean("missing", "none", "iou_uniform", "right") == pytest.approx(0.5, abs=0.01)
    assert rows["missing"]["alignments"]["none"]["pooled"]["chamfer_l1_mm"]["samples"] == 3
    # The paper's rows are there without figures of their own.
    for name in ("Two-Hand-Shape-Pose", "IntagHand", "HALO", "HALO*", "Im2Hands"):
        assert rows[name] == {"method": name, "measured": False}
    assert "no alignment" in text and "the floor" in text and "research code's set" in text and "IoU 0" in text
    assert (tmp_path / "out" / "table.md").read_text("utf-8") == text
    assert (tmp_path / "out" / "page.jpg").stat().st_size > 10_000
    csv = (tmp_path / "out" / "samples.csv").read_text("utf-8").splitlines()
    assert len(csv) == 1 + 3 * 4 * 2
    again = [*arguments[:4], "--workers", "2", *arguments[4:]]
    again[again.index("--output") + 1] = str(tmp_path / "again")
    assert main(again) == 0
    assert (tmp_path / "again" / "samples.csv").read_bytes() == (tmp_path / "out" / "samples.csv").read_bytes()


@pytest.mark.parametrize("frame", ["canonical", "hand", "wrist", "world", "camera", "camera-wrist"])
@pytest.mark.parametrize("name", ["0_12_left", "0_12_right"])
def test_frames_of_predictions(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, frame: str, name: str
) -> None:
    """A mesh brought into a frame by hand lies on the true one after reading."""
    mesh = hand[0]
    shape = TruthFolder(truth).shape(name)
    turn, shift = shape.rotation.T @ np.diag([1.0, -1.0, -1.0]), np.array([0.1, 0.2, 0.3])
    world = shape.to_world(mesh.vertices)
    wrist = shape.root * shape.mirror
    places = {
        "canonical": mesh.vertices,
        "hand": world * shape.mirror - shape.root,
        "wrist": world - wrist,
        "world": world,
        "camera": world @ turn.T + shift,
        "camera-wrist": (world - wrist) @ turn.T,
    }
    (tmp_path / "meshes").mkdir()
    write_off(tmp_path / "meshes" / f"{name}.off", places[frame] * 1000, mesh.faces)
    method = parse_method(f"a={tmp_path},frame={frame},unit=mm")
    found = read_prediction(method, View("0_12", "0_12", turn, shift), shape)
    assert np.allclose(found.mesh.vertices, mesh.vertices, atol=1e-6)


def test_views_share_the_shapes_of_a_frame(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files of the research code: ``%07d_side`` in mm about the wrist, three views of one frame."""
    (tmp_path / "anno").mkdir()
    (tmp_path / "pred_shapes").mkdir()
    folder = TruthFolder(truth)
    for number in range(3):
        camera = {"R": np.eye(3, dtype=np.float32), "t": np.zeros(3, np.float32), "camera": np.eye(3)}
        anno = {"inter_idx": number, "image": {"capture": 0, "frame_idx": 12}, "camera": camera}
        (tmp_path / "anno" / f"{number}.pkl").write_bytes(pickle.dumps(anno, protocol=3))
        for side in ("left", "right"):
            shape = folder.shape(f"0_12_{side}")
            vertices = (shape.to_world(hand[0].vertices) - shape.root * shape.mirror) * 1000
            lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
            lines += [f"f {a}//1 {b}//1 {c}//1" for a, b, c in hand[0].faces + 1]
            (tmp_path / "pred_shapes" / f"{number:07d}_{side}.obj").write_text("\n".join(lines), "utf-8")
    arguments = [
        "evaluate", "shapes", "--data", str(truth), "--output", str(tmp_path / "out"), "--json", *FEWER,
        "--align", "none",
        "--annotations", str(tmp_path / "anno"), "--method", f"init={tmp_path / 'pred_shapes'},frame=wrist,unit=mm",
    ]  # fmt: skip
    assert main(arguments) == 0
    row = next(row for row in json.loads(capsys.readouterr().out)["rows"] if row["method"] == "init")
    assert row["hands"] == row["hands_found"] == 6
    assert row["alignments"]["none"]["pooled"]["iou_uniform"]["mean"] > 0.99
    assert row["alignments"]["none"]["pooled"]["iou_uniform"]["groups"] == 1


@pytest.mark.parametrize("flipped", [False, True])
def test_a_hand_of_the_other_side_is_told(truth: Path, tmp_path: Path, flipped: bool) -> None:
    shape = TruthFolder(truth).shape("0_12_right")
    joints = shape.keypoints * ((1, 1, -1) if flipped else (1, 1, 1))
    write_off(tmp_path / "0_12_right.off", joints[:4], np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    (tmp_path / "joints").mkdir()
    write_ply(tmp_path / "joints" / "0_12_right.ply", joints)
    method = parse_method(f"a={tmp_path},frame=canonical,joints={tmp_path / 'joints'}")
    assert read_prediction(method, View("0_12", "0_12"), shape).mirrored == flipped


def test_an_open_hand_of_778_vertices_is_scored(truth: Path, tmp_path: Path) -> None:
    """MANO's meshes are open at the wrist; the unit of Two-Hand-Shape-Pose is the palm."""
    shape = TruthFolder(truth).shape("0_12_right")
    ball = 0.02 * np.random.default_rng(0).normal(size=(778, 3))
    length = np.linalg.norm(shape.keypoints[9] - shape.keypoints[0])
    write_off(tmp_path / "0_12_right.off", ball / length, np.array([[0, 1, 2], [1, 0, 3], [2, 1, 3]]))
    regressor = np.zeros((16, 778))
    regressor[np.arange(16), np.arange(16)] = 1
    method = parse_method(f"a={tmp_path},frame=canonical,unit=palm", regressor)
    found = read_prediction(method, View("0_12", "0_12"), shape)
    assert len(found.mesh.vertices) == 779 and not found.open_mesh
    assert np.allclose(found.vertices, ball)
    assert np.allclose(found.joints[0], ball[0]) and np.allclose(found.joints[4], ball[745])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n", "ends after"),
        ("OFF\n3 1 0\n0 0 nan\n1 0 0\n0 1 0\n3 0 1 2\n", "not finite"),
        ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "faces of vertices"),
        ("solid\n", "begin with OFF"),
    ],
)
def test_damaged_meshes_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.off").write_text(text, "utf-8")
    with pytest.raises(InputError, match=words) as error:
        read_mesh_file(tmp_path / "a.off")
    assert "a.off" in str(error.value)


def test_half_written_truth_is_named(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hand(tmp_path / "data", "0_1_right", *hand, points=2000, cloud=2000)
    path = tmp_path / "data" / "points" / "0_1_right.npz"
    path.write_bytes(path.read_bytes()[:9000])
    write_method(tmp_path / "same", hand[0], ["0_1_right"])
    arguments = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"), "--method"]
    assert main(["evaluate", "shapes", *arguments, f"a={tmp_path / 'same'}"]) == 2
    said = capsys.readouterr().err
    assert "points/0_1_right.npz" in said and "cut off or damaged" in said


def _changed(**changes: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, **{name: make(arrays[name]) for name, make in changes.items()}})

    return change


@pytest.mark.parametrize(("file", "change", "words"), [
    ("meta/0_1_right.npz", _changed(hand_joints=lambda a: a[list(HALO_TO_FILE)]), "hand's lengths in the order file"),
    ("meta/0_1_right.npz", _changed(hand_joints=lambda a: a * 1000), "m long"),
    ("meta/0_1_right.npz", _changed(hand_joints=lambda a: a * 0), "0 m long"),
    ("points/0_1_right.npz", _changed(points=lambda a: a[:0], occupancies=lambda a: a[:0]), "has no points"),
    ("mesh/0_1_right.off", lambda path: path.write_text(POINT), "encloses nothing"),
    ("mesh/0_1_right.off", lambda path: path.write_bytes(b""), "is empty"),
    ("datalist.txt", lambda path: path.write_bytes(b"\xff\xfe0_1_right"), "datalist.txt cannot be read"),
])  # fmt: skip
def test_truth_that_is_no_hand_is_named(
    hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, change: Any,
    words: str,
) -> None:  # fmt: skip
    write_hand(tmp_path / "data", "0_1_right", *hand, points=200, cloud=200)
    write_method(tmp_path / "same", hand[0], ["0_1_right"])
    change(tmp_path / "data" / file)
    arguments = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"), "--method"]
    assert main(["evaluate", "shapes", *arguments, f"a={tmp_path / 'same'}"]) == 2
    said = capsys.readouterr().err
    assert words in said and Path(file).name in said


def test_a_full_disk_is_told(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(handle: Any, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_method(tmp_path / "same", hand[0], NAMES)
    few = ["--surface-points", "200", "--interior-points", "100", "--every", "2", "--align", "none"]
    where = ["--data", str(truth), "--output", str(tmp_path / "out"), "--method", f"a={tmp_path / 'same'}", *few]
    with monkeypatch.context() as patched:
        patched.setattr(files, "_write_synced", full)
        assert main(["evaluate", "shapes", *where]) == 2
    assert "No space left on device" in capsys.readouterr().err and not list((tmp_path / "out").iterdir())
    assert main(["evaluate", "shapes", *where]) == 0


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("a", "no name"), ("a=/nowhere", "no folder"), ("a=.,frame=mano", "no frame"), ("a=.,x=1", "not known"),
        ("a=", "no meshes"), ("a=.,frame=camera", "camera"),
        ("a=.,unit=mm", "no unit"), ("a=.,frame=normalised,unit=palm", "no unit"),
    ],
)  # fmt: skip
def test_methods_that_cannot_be_read(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], method: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_off(tmp_path / "0_12_left.off", hand[0].vertices, hand[0].faces)
    assert main(["evaluate", "shapes", "--data", str(truth), "--output", "out", "--method", method]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("unit", "told"), [(1.0, True), (0.4, False), (0.4 / 0.001, True)])
def test_meshes_of_another_unit_are_told(
    truth: Path, hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: float,
    told: bool,
) -> None:  # fmt: skip
    """Metres or millimetres where the normalised frame is expected."""
    for name in NAMES:
        write_off(tmp_path / f"{name}.off", hand[0].vertices / unit, hand[0].faces)
    few = ["--surface-points", "500", "--interior-points", "200", "--every", "2", "--align", "none"]
    where = ["--data", str(truth), "--output", str(tmp_path / "out")]
    assert main(["evaluate", "shapes", *where, "--method", f"a={tmp_path}", *few]) == 0
    assert ("far smaller or larger than the true hand" in capsys.readouterr().out) == told


def test_a_true_mesh_without_faces_is_named(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    shutil.copytree(truth, tmp_path / "data")
    (tmp_path / "data" / "mesh" / "0_12_left.off").write_text("OFF\n0 0 0\n", "utf-8")
    where = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert main(["evaluate", "shapes", *where, "--method", f"a={truth / 'mesh'},frame=canonical"]) == 2
    assert "0_12_left.off has no faces" in capsys.readouterr().err


def test_a_vertical_line_in_a_name_stays_in_its_cell(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    few = ["--surface-points", "500", "--interior-points", "200", "--every", "2", "--align", "none", "wrist"]
    where = ["--data", str(truth), "--output", str(tmp_path / "out")]
    assert main(["evaluate", "shapes", *where, "--method", f"a|b={truth / 'mesh'},frame=canonical", *few]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert sum("a\\|b" in row for row in rows) == 2
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


def test_points_of_16_bits_against_their_own_mesh(
    hand: tuple[Mesh, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """IoU of a mesh on its own stored points: 1 in 32 bits, below 1 in 16."""
    for exact in (True, False):
        folder = tmp_path / str(exact)
        write_hand(folder, "0_1_right", *hand, points=100_000, cloud=2000, exact=exact, mesh_file=False)
        points, bits = TruthFolder(folder).points("points", "0_1_right")
        assert len(points) == len(bits) == 100_000
        iou = scores.score(hand[0], scores.Targets(points=(points, bits)), (1,)).iou_points
        assert (iou == pytest.approx(1, abs=1e-3)) == exact and iou > 0.98


def test_a_method_without_data_has_no_folder() -> None:
    assert parse_method("HALO=") == Method("HALO", None)
