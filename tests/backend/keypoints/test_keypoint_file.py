"""Keypoint files: formats, orders, units, spaces, and all errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hand_pictures import hand_shape

from im2hands.core.camera import Camera
from im2hands.core.errors import InputError
from im2hands.core.hands import FILE_TO_HALO, INTERHAND_TO_FILE, SIDES
from im2hands.keypoints.file import KeypointFile

CAMERA = Camera.from_fov(50.0, 640, 480)
HANDS = {side: hand_shape(side) + np.array([0.1 if side == "left" else -0.1, 0.02, 0.6]) for side in SIDES}


def content(frames: dict, **settings: str) -> dict:
    """Return JSON content with the arrays as lists."""
    return {
        **settings,
        "frames": {
            key: {side: np.asarray(rows).tolist() for side, rows in hands.items()} for key, hands in frames.items()
        },
    }


def write_json(folder: Path, data: object, name: str = "keypoints.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_json_in_metres_and_the_cameras_frame(tmp_path: Path) -> None:
    path = write_json(tmp_path, content({"000012": HANDS, "000003": {"left": HANDS["left"]}}), "Hände 手.json")
    file = KeypointFile.read(path)
    assert file.frames == [3, 12]
    both = file.hands(12, CAMERA)
    for side in SIDES:
        hand = both.get(side)
        assert hand is not None and hand.side == side and hand.source == "file" and hand.score == 1.0
        np.testing.assert_allclose(hand.positions, HANDS[side])
        np.testing.assert_allclose(hand.pixels, CAMERA.project(HANDS[side]))
    assert file.hands(3, CAMERA).right is None and file.hands(3, CAMERA).left is not None
    assert file.hands(4, CAMERA).present() == []


@pytest.mark.parametrize(
    ("order", "table"),
    [
        ("halo", FILE_TO_HALO),
        ("interhand", np.argsort(INTERHAND_TO_FILE)),
        ("mediapipe", range(21)),
        ("file", range(21)),
    ],
)
@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("mm", 1000)])
def test_orders_and_units(order: str, table, unit: str, factor: int) -> None:
    rows = HANDS["right"][list(table)] * factor
    hand = KeypointFile.from_dict(content({"1": {"right": rows}}, order=order, unit=unit)).hands(1, CAMERA).right
    assert hand is not None
    np.testing.assert_allclose(hand.positions, HANDS["right"], atol=1e-12)


def test_world_space_goes_through_the_cameras_rotation_and_translation() -> None:
    rotation = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    translation = np.array([0.1, -0.2, 0.3])
    camera = Camera(500, 500, 320, 240, 640, 480, rotation=rotation, translation=translation)
    world = (HANDS["left"] - translation) @ rotation
    hand = KeypointFile.from_dict(content({"1": {"left": world}}, space="world")).hands(1, camera).left
    assert hand is not None
    np.testing.assert_allclose(hand.positions, HANDS["left"], atol=1e-12)
    np.testing.assert_allclose(hand.pixels, camera.project(HANDS["left"]))


def test_npz_says_the_same_as_json(tmp_path: Path) -> None:
    arrays = {f"000007_{side}": rows * 1000 for side, rows in HANDS.items()}
    np.savez(tmp_path / "k.npz", unit="mm", order="file", space="camera", **arrays)
    file = KeypointFile.read(tmp_path / "k.npz")
    assert file.frames == [7] and file.unit == "mm"
    for side in SIDES:
        hand = file.hands(7, CAMERA).get(side)
        assert hand is not None
        np.testing.assert_allclose(hand.positions, HANDS[side])


def broken(side: str = "left", **changes) -> np.ndarray:
    rows = HANDS[side].copy()
    for name, value in changes.items():
        rows[int(name[1:])] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (broken(_8=np.nan), "index_tip of the left hand of frame 000005 in k.json is not a finite number"),
        (broken(_8=np.inf), "index_tip"),
        (HANDS["left"][:20], "shape (20, 3)"),
        (HANDS["left"][:, :2], "shape (21, 2)"),
        (broken(_6=HANDS["left"][5]), "bone to index_pip of the left hand of frame 000005"),
        (HANDS["left"] * 1000, '"unit": "mm"'),
        (HANDS["left"] / 1000, "unit"),
        (np.arange(21)[:, None] * (0.0, 0.01, 0.0) + (0, 0, 0.5), "one line"),
        (HANDS["left"] * (1, 1, -1), "behind the camera"),
    ],
)
def test_a_bad_hand_is_named_and_the_other_frames_stay_usable(rows: np.ndarray, says: str) -> None:
    frames = {"000005": {"left": rows}, "000006": HANDS}
    file = KeypointFile.from_dict(content(frames), "k.json")
    with pytest.raises(InputError) as caught:
        file.hands(5, CAMERA)
    assert says in str(caught.value) and caught.value.hint
    assert len(file.hands(6, CAMERA).present()) == 2


def test_wrong_order_of_a_nan_names_the_right_keypoint() -> None:
    rows = HANDS["left"][list(FILE_TO_HALO)].copy()
    rows[1] = np.nan  # HALO's second keypoint is the index MCP
    with pytest.raises(InputError, match="index_mcp"):
        KeypointFile.from_dict(content({"1": {"left": rows}}, order="halo")).hands(1, CAMERA)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{", "neither JSON nor npz"),
        ([1, 2], 'no "frames"'),
        ({"frames": {}}, 'no "frames"'),
        (content({"1": HANDS}, unit="cm"), "unit is 'cm'"),
        (content({"1": HANDS}, order="openpose"), "order is 'openpose'"),
        (content({"1": HANDS}, space="screen"), "space is 'screen'"),
        (content({"first": HANDS}), "'first' is no frame number"),
        (content({"1": HANDS, "001": HANDS}), "frame 1 twice"),
        (content({"1": {"both": HANDS["left"]}}), "'both'"),
        ({"frames": {"1": [1, 2]}}, "not a set of hands"),
    ],
)
def test_a_file_of_another_form_is_refused_in_plain_words(tmp_path: Path, data: object, says: str) -> None:
    with pytest.raises(InputError) as caught:
        KeypointFile.read(write_json(tmp_path, data))
    assert says in caught.value.message and caught.value.hint


def test_numbers_that_are_words() -> None:
    file = KeypointFile.from_dict({"frames": {"1": {"left": [["a", "b", "c"]] * 21}}})
    with pytest.raises(InputError, match="not numbers"):
        file.hands(1, CAMERA)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        KeypointFile.read(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        KeypointFile.read(tmp_path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="neither JSON nor npz"):
        KeypointFile.read(tmp_path / "bytes.json")
    np.savez(tmp_path / "k.npz", **{"1_left": HANDS["left"]})
    data = bytearray((tmp_path / "k.npz").read_bytes())
    data[60:200] = b"\0" * 140
    (tmp_path / "k.npz").write_bytes(data)
    with pytest.raises(InputError, match="neither JSON nor npz"):
        KeypointFile.read(tmp_path / "k.npz")


def test_an_absent_side_may_be_null() -> None:
    data = content({"1": {"left": HANDS["left"]}})
    data["frames"]["1"]["right"] = None
    hands = KeypointFile.from_dict(data).hands(1, CAMERA)
    assert hands.right is None and hands.left is not None
