"""Reading takes that are complete, that grow, and that are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic


@pytest.fixture
def reader(addon):
    return addon("take.reader")


@pytest.fixture
def take_error(addon):
    return addon("errors").TakeError


def edit(folder: Path, **changes: object) -> None:
    path = folder / "take.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_reads_what_was_written(reader, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {3: ("left", "right"), 1: ("right",)}, step=2, fps=29.97)
    take = reader.read_take(folder)
    assert list(take.records) == [1, 3]
    assert (take.step, take.fps, take.image_size, take.name) == (2, 29.97, (160, 120), "take")
    assert take.counts == {"ok": 1, "partial": 1, "empty": 0, "failed": 0}
    arrays = np.load(folder / "frames/000003.npz")
    hand = take.read_hands(3)["left"]
    for name in ("vertices", "faces", "keypoints", "keypoints_2d", "confidence"):
        np.testing.assert_array_equal(getattr(hand, name), arrays[f"left_{name}"])
    assert set(take.read_hands(1)) == {"right"}
    assert reader.read_take(folder / "take.json").folder == take.folder


def test_pixels_of_a_mirror_image_are_turned_back(reader, tmp_path: Path) -> None:
    """The pixels are mirrored by the width of the frame's own picture."""
    cameras = {1: synthetic.camera(160, 120, cx=60.0), 2: synthetic.camera(200, 120, cx=90.0)}
    folder = synthetic.write_take(tmp_path / "take", dict.fromkeys(cameras, ("left", "right")), cameras=cameras)
    edit(folder, settings={"mirrored": True})
    for frame, camera in cameras.items():
        path = folder / f"frames/{frame:06d}.npz"
        arrays = dict(np.load(path))
        for side in ("left", "right"):
            arrays[f"{side}_keypoints_2d"] *= np.float32([-1, 1])
            arrays[f"{side}_keypoints_2d"] += np.float32([camera["width"] - 1, 0])
        np.savez(path, **arrays)
    take = reader.read_take(folder)
    for frame, camera in cameras.items():
        for hand in take.read_hands(frame).values():
            np.testing.assert_allclose(hand.keypoints_2d, synthetic.project(hand.keypoints, camera), atol=1e-3)


def test_later_arrays_and_fields_are_passed_over(reader, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, extra_arrays=True)
    edit(folder, colour="blue")
    assert set(reader.read_take(folder).read_hands(1)) == {"left"}


@pytest.mark.parametrize(
    ("confidence", "sides", "doubt"),
    [(0.9, ("left", "right"), ""), (0.3, ("left", "right"), "unsure left and right"), (0.9, ("left",), "no right hand"),
     (0.9, (), "no hands")],
)  # fmt: skip
def test_doubt(reader, tmp_path: Path, confidence: float, sides: tuple[str, ...], doubt: str) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: sides}, confidence={1: confidence})
    assert reader.read_take(folder).records[1].doubt == doubt


def test_a_take_of_the_future_is_refused_in_words(reader, take_error, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)}, version=2)
    with pytest.raises(take_error, match=r"version 2.*reads up to version 1.*Update"):
        reader.read_take(folder)


@pytest.mark.parametrize(
    "changes",
    [{"format": "other"}, {"camera": {"fx": 0, "fy": 1, "cx": 0, "cy": 0}}, {"frames": [{"index": 1}]}, {"fps": -1},
     {"frames": [{"index": 1, "status": "ok", "file": "../../secret.npz"}]}, {"version": "1"}, {"camera": None}],
)  # fmt: skip
def test_damage_is_named(reader, take_error, tmp_path: Path, changes: dict) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    edit(folder, **changes)
    with pytest.raises(take_error):
        reader.read_take(folder)


def test_no_take_half_a_take_and_a_file(reader, take_error, tmp_path: Path) -> None:
    with pytest.raises(take_error, match="no take"):
        reader.read_take(tmp_path / "nothing")
    (tmp_path / "take.json").write_text('{"format": "im2ha', "utf-8")
    with pytest.raises(take_error, match="Cannot read"):
        reader.read_take(tmp_path)
    with pytest.raises(take_error):
        reader.read_take(tmp_path / "take.json" / "deeper")


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_a_file_that_is_being_replaced_is_read_again(
    reader, take_error, tmp_path: Path, monkeypatch, error: type[OSError]
) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    left = [3]

    def read(self: Path, original=Path.read_bytes) -> bytes:
        left[0] -= 1
        if left[0] >= 0:
            raise error(13, "busy")
        return original(self)

    monkeypatch.setattr(Path, "read_bytes", read)
    take = reader.read_take(folder)
    left[0] = 3
    assert set(take.read_hands(1)) == {"left"}
    left[0] = 10**9
    with pytest.raises(take_error):
        reader.read_take(folder)


@pytest.mark.parametrize("damage", ["gone", "cut", "no_faces", "faces_out_of_range", "not_finite", "shape"])
def test_a_damaged_frame_is_named(reader, take_error, tmp_path: Path, damage: str) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    path = folder / "frames/000001.npz"
    arrays = dict(np.load(path))
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        if damage == "no_faces":
            del arrays["left_faces"]
        elif damage == "faces_out_of_range":
            arrays["left_faces"][0, 0] = len(arrays["left_vertices"])
        elif damage == "not_finite":
            arrays["left_vertices"][0, 0] = np.nan
        else:
            arrays["left_keypoints"] = arrays["left_keypoints"][:20]
        np.savez(path, **arrays)
    with pytest.raises(take_error, match="000001"):
        reader.read_take(folder).read_hands(1)


def test_fitted_camera_is_the_same_view(reader) -> None:
    camera = reader.Intrinsics(300, 310, 70.0, 45.0, 160, 120)
    fitted = camera.fitted(640, 240)  # twice as large, 160 pixels to the left and right
    assert (fitted.fx, fitted.fy) == (600, 620)
    assert fitted.cx == pytest.approx((70.0 + 0.5) * 2 - 0.5 + 160)
    assert fitted.cy == pytest.approx((45.0 + 0.5) * 2 - 0.5)
    assert camera.fitted(160, 120) is camera


def tiff(order: str, orientation: int) -> bytes:
    import struct

    head = b"II" if order == "<" else b"MM"
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", 1) + entry + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("orientation", "turn"), [(1, (False, 0)), (3, (False, 2)), (5, (True, 3)), (6, (False, 1)), (8, (False, 3))]
)
def test_exif_orientation(addon, tmp_path: Path, order: str, orientation: int, turn: tuple[bool, int]) -> None:
    body = b"Exif\0\0" + tiff(order, orientation)
    filler = b"\xff\xe0" + (16).to_bytes(2, "big") + bytes(14)
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8" + filler + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + b"\xff\xda")
    assert tuple(addon("take.photo_orientation").read_turn(path)) == turn


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II", b"\x89PNG"])
def test_exif_of_something_else(addon, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    assert tuple(addon("take.photo_orientation").read_turn(path)) == (False, 0)
