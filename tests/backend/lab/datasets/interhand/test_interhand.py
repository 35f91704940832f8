"""The reader of InterHand2.6M on a tiny set of our own making: layouts, cameras, joints, missing entries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from im2hands.core.errors import InputError, SetupError
from im2hands.core.hands import SIDES
from im2hands.lab.datasets.interhand.annotation import read_annotation
from im2hands.lab.datasets.interhand.check import box_residual, check_interhand
from im2hands.lab.datasets.interhand.crops import two_hand_crop
from im2hands.lab.datasets.interhand.posed import PosedHand, annotated_keypoints
from im2hands.lab.datasets.interhand.raw import InterHand, ViewCamera, hand_joints, valid_joints
from interhand_files import CAMERAS, FRAMES, PLAUSIBLE, MiniSet, write_interhand
from mano_files import write_mano


@pytest.fixture(scope="module")
def mano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mano(tmp_path_factory.mktemp("mano"))


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory, mano: Path) -> MiniSet:
    return write_interhand(tmp_path_factory.mktemp("mini"), mano=mano, noise_mm=0.0)


def test_joints_cameras_and_pictures_belong_together(mini: MiniSet) -> None:
    """Annotated joints, projected, lie on the pixels of the hands; other readings of the camera do not."""
    data = InterHand(mini.root, "test")
    assert len(data) == len(FRAMES) * len(CAMERAS) and data.release == ""
    on_hand, wrong = [], []
    for sample in data.samples():
        if sample.camera == "410001" or not sample.interacts or sample.frame == "20631":
            continue
        found, camera = annotated_keypoints(data, sample), data.camera(sample)
        if not found:
            continue
        assert camera is not None
        image = cv2.imread(str(data.photo(sample)))
        hand = mini.posed[sample.capture, sample.frame]
        for side in SIDES:
            np.testing.assert_allclose(found[side][0], hand[side].keypoints, atol=1e-9)
            assert found[side][1].all()
            for turned, result in ((False, on_hand), (True, wrong)):
                used = ViewCamera(camera.rotation.T, camera.translation, camera.matrix) if turned else camera
                pixels = np.rint(used.project(found[side][0])).astype(int)
                seen = ((pixels >= 0) & (pixels < image.shape[1::-1])).all(1)
                x, y = pixels.clip(0, np.array(image.shape[1::-1]) - 1).T
                result += list(seen & (np.abs(image[y, x].astype(int) - 70).max(1) > 12))
    assert np.mean(on_hand) > 0.95 and np.mean(wrong) < 0.5


def test_the_annotated_box_is_that_of_the_projected_joints(mini: MiniSet) -> None:
    data = InterHand(mini.root, "test")
    residuals = [residual for sample in data.samples() if (residual := box_residual(data, sample)) is not None]
    assert len(residuals) == 15 and max(residuals) < 1e-9


def test_invalid_joints_are_left_out_even_if_they_look_plausible(mini: MiniSet) -> None:
    data = InterHand(mini.root, "test")
    sample = next(s for s in data.samples() if s.frame == "20628")
    places, _ = data.joints("0", "20628") or pytest.fail("the frame is there")
    assert np.linalg.norm(places[PLAUSIBLE]) > 0.1 and not data.joints("0", "20628")[1][21:].any()  # type: ignore[index]
    found = annotated_keypoints(data, sample)
    assert found["right"][1].all() and not found["left"][1].any()
    assert sample.joint_valid[:21].all() and not sample.joint_valid[21:].any()


def test_an_invalid_wrist_makes_its_hand_invalid() -> None:
    values: list[Any] = [[1]] * 42
    values[41] = [0]
    assert valid_joints(values).tolist() == [True] * 21 + [False] * 21
    for damaged in (None, [1] * 21, "valid", [["x"]] * 42):
        assert not valid_joints(damaged).any()
    assert hand_joints(np.arange(42), "left").tolist()[:5] == [41, 24, 23, 22, 21]
    assert hand_joints(np.arange(42), "right").tolist()[5:9] == [7, 6, 5, 4]


@pytest.mark.parametrize("release", ["all", "human_annot", "machine_annot"])
def test_older_releases_are_found(tmp_path: Path, mano: Path, release: str) -> None:
    mini = write_interhand(tmp_path, "val", mano=mano, release=release)
    data = InterHand(mini.root, "val")
    assert data.release == release and len(data) == 18 and data.mano_file is not None


def test_missing_entries_are_no_values(tmp_path: Path, mano: Path) -> None:
    def change(files: dict[str, Any]) -> None:
        del files["camera"]["0"]["campos"]["400262"]
        files["camera"]["0"]["camrot"]["400287"] = (np.eye(3) * 2).tolist()
        files["camera"]["1"]["focal"]["400262"] = [0.0, 900.0]
        turn = np.array(files["camera"]["1"]["camrot"]["400287"])
        files["camera"]["1"]["camrot"]["400287"] = (turn * (1, 1, -1)).tolist()  # a mirror, no rotation
        del files["joint_3d"]["1"]["106"]
        del files["MANO_NeuralAnnot"]["1"]["106"]["right"]
        del files["MANO_NeuralAnnot"]["0"]

    data = InterHand(write_interhand(tmp_path, mano=mano, change=change).root, "test")
    lacking = {(s.capture, s.camera) for s in data.samples() if data.camera(s) is None}
    assert lacking == {("0", "400262"), ("0", "400287"), ("1", "400262"), ("1", "400287")}
    assert data.joints("1", "106") is None and data.joints("7", "1") is None
    assert data.fit("1", "106")["right"] is None and data.fit("1", "106")["left"] is not None
    assert data.fit("0", "20625") == {"left": None, "right": None}


def test_pictures_and_annotations_are_joined_by_their_numbers(tmp_path: Path, mano: Path) -> None:
    def shuffle(files: dict[str, Any]) -> None:
        files["data"]["annotations"].reverse()

    data = InterHand(write_interhand(tmp_path, mano=mano, change=shuffle).root, "test")
    assert all(s.annotation["image_id"] == s.image["id"] for s in data.samples())


def _drop(name: str) -> Any:
    def change(root: Path) -> None:
        (root / "annotations" / "test" / f"InterHand2.6M_test_{name}.json").unlink()

    return change


def _cut(root: Path) -> None:
    path = root / "annotations" / "test" / "InterHand2.6M_test_camera.json"
    path.write_bytes(path.read_bytes()[:-100])


def _other(root: Path) -> None:
    (root / "annotations" / "test" / "InterHand2.6M_test_data.json").write_text("[1]", "utf-8")


def _short(root: Path) -> None:
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    content = json.loads(path.read_text("utf-8"))
    content["annotations"].pop()
    path.write_text(json.dumps(content), "utf-8")


def _elsewhere(root: Path) -> None:
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    content = json.loads(path.read_text("utf-8"))
    content["images"][3]["capture"] = "../../0"
    path.write_text(json.dumps(content), "utf-8")


def _cut_data(root: Path) -> None:
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    path.write_bytes(path.read_bytes()[:-100])


def _number(root: Path) -> None:
    path = root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    content = json.loads(path.read_text("utf-8"))
    content["annotations"][2] = 5
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize("change, message", [
    (_cut_data, "is damaged"),
    (_number, 'an entry of "annotations" is no object'),
    (_drop("data"), "has no InterHand2.6M_test_data.json"),
    (_drop("camera"), "There is no file"),
    (_cut, "is damaged"),
    (_other, "has no pictures"),
    (_short, "picture 17 or its annotation is incomplete"),
    (_elsewhere, "picture 3 or its annotation is incomplete .its capture is '../../0'"),
])  # fmt: skip
def test_sets_that_cannot_be_read_are_refused(tmp_path: Path, mano: Path, change: Any, message: str) -> None:
    mini = write_interhand(tmp_path, mano=mano)
    change(mini.root)
    with pytest.raises(InputError, match=message):
        list(InterHand(mini.root, "test").samples())


def test_the_data_file_is_read_entry_by_entry(mini: MiniSet, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mini.root / "annotations" / "test" / "InterHand2.6M_test_data.json"
    whole = json.loads(path.read_text("utf-8"))
    samples = list(InterHand(mini.root, "test").samples())
    assert [sample.image for sample in samples] == whole["images"]
    assert [sample.annotation for sample in samples] == whole["annotations"]
    flags = [flag for sample in samples for flag in sample.annotation["joint_valid"]]
    assert len(flags) == 42 * len(samples) and len({id(flag) for flag in flags}) == 2, "they are shared"
    monkeypatch.setitem(sys.modules, "ijson", None)
    with pytest.raises(SetupError, match="ijson"):
        InterHand(mini.root, "test")


def test_a_split_without_pictures_is_refused(mini: MiniSet, tmp_path: Path) -> None:
    (tmp_path / "annotations").symlink_to(mini.root / "annotations")
    with pytest.raises(InputError, match="has no folder images/test"):
        InterHand(tmp_path, "test")
    with pytest.raises(InputError, match=r"has no InterHand2\.6M_train_data\.json"):
        InterHand(mini.root, "train")


def test_the_crop_is_the_worked_example() -> None:
    """Projected bounds (100, 50) to (300, 150), focal length 1270, centre (160, 260)."""
    corners = np.array([[100.0, 50.0], [300.0, 150.0]])
    matrix = np.array([[1270.0, 0, 160], [0, 1270, 260], [0, 0, 1]])
    rays = np.concatenate([(corners - [160, 260]) / 1270, np.ones((2, 1))], axis=1)
    empty = {"keypoints": np.zeros((21, 3)), "fit": None}
    posed = {side: PosedHand(rays[[k]], **empty) for k, side in enumerate(SIDES)}  # type: ignore[arg-type]
    affine, camera = two_hand_crop(posed, ViewCamera(np.eye(3), np.zeros(3), matrix)) or pytest.fail("a crop")
    np.testing.assert_allclose(affine, [[1.024, 0, -76.8], [0, 1.024, 25.6]], atol=1e-9)
    np.testing.assert_allclose(corners @ affine[:, :2].T + affine[:, 2], [(25.6, 76.8), (230.4, 179.2)], atol=1e-9)
    np.testing.assert_allclose(camera.matrix, [[1300.48, 0, 87.04], [0, 1300.48, 291.84], [0, 0, 1]], atol=1e-9)
    world = np.random.default_rng(0).uniform((-0.1, -0.1, 0.8), (0.1, 0.1, 1.2), (50, 3))
    before = ViewCamera(np.eye(3), np.zeros(3), matrix).project(world)
    np.testing.assert_allclose(camera.project(world), before @ affine[:, :2].T + affine[:, 2], atol=1e-9)


def test_the_check_says_what_a_set_holds(mini: MiniSet, tmp_path: Path, mano: Path) -> None:
    found = check_interhand(mini.root, "test", mano)
    assert found.pictures == 18 and found.hands == {"interacting": 15, "right": 3} and found.grey == 6
    assert found.candidates == 12 and found.fitted == 6 and found.box_px < 1e-9 and not found.problems
    assert max(found.fit_mm.values()) < 1e-6 and "corrected" in found.mano_note

    def none(files: dict[str, Any]) -> None:
        for mark in files["data"]["annotations"]:
            mark["hand_type"] = "left"

    alone = check_interhand(write_interhand(tmp_path, mano=mano, change=none).root, "test")
    assert alone.candidates == 0 and "No picture shows two interacting hands" in alone.problems[0]


@pytest.mark.parametrize("with_mano", [True, False])
def test_the_check_names_damaged_fits(tmp_path: Path, mano: Path, with_mano: bool) -> None:
    def change(files: dict[str, Any]) -> None:
        files["MANO_NeuralAnnot"]["0"]["20625"]["left"]["pose"].pop()

    found = check_interhand(
        write_interhand(tmp_path, mano=mano, change=change).root, "test", mano if with_mano else None
    )
    assert found.damaged_fits == 3 and "The MANO parameters of 3 of 12 pictures are damaged." in found.problems


def test_a_missing_sign_correction_shows_as_a_large_error_of_the_left_hand(mini: MiniSet, mano: Path) -> None:
    """The check measures each hand: a left shape basis with the wrong sign is not hidden by the right hand."""
    from dataclasses import replace

    from im2hands.lab.datasets.interhand.mano import load_mano
    from im2hands.lab.datasets.interhand.posed import fit_error, pose_hands, read_fit

    data, model = InterHand(mini.root, "test"), load_mano(mano)
    basis = model["left"].shape_basis * np.array([-1.0, 1.0, 1.0])[:, None]
    wrong = replace(model, hands={**model.hands, "left": replace(model["left"], shape_basis=basis)})
    sample = next(s for s in data.samples() if s.frame == "20625")
    fits = {side: read_fit(value) for side, value in data.fit("0", "20625").items()}
    posed, annotated = pose_hands(wrong, fits), annotated_keypoints(data, sample)
    left, right = (fit_error(posed[side], *annotated[side]) for side in SIDES)
    assert left is not None and right is not None and right < 1e-6 < 0.5 < left


def test_an_annotation_of_another_program_is_read(tmp_path: Path) -> None:
    """As NumPy 1 writes it, with scalars and arrays of other types and shapes."""
    import pickle

    fit = {
        "R": np.eye(3)[None],
        "pose": np.zeros((1, 45), np.float32),
        "shape": np.zeros((1, 10)),
        "trans": np.ones((1, 3)),
    }
    content = {
        "inter_idx": np.int64(3), "image": {"capture": np.int64(0), "frame_idx": 5, "camera": "400262"},
        "annotation": {}, "mano_params": {"left": fit, "right": fit},
        "camera": {"R": np.eye(3, dtype=np.float32), "t": np.zeros((3, 1), np.float32), "camera": np.eye(3)},
    }  # fmt: skip
    path = tmp_path / "3.pkl"
    path.write_bytes(pickle.dumps(content, 3).replace(b"numpy._core", b"numpy.core"))
    found = read_annotation(path)
    assert found.sample.capture == "0" and found.fits["left"]["trans"].tolist() == [[1, 1, 1]]
    for wrong in (b"", b"\x80\x03c os\nsystem\n.", pickle.dumps({"image": {}}), pickle.dumps([1])):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="is no annotation of a crop"):
            read_annotation(path)
