"""The take: atomic writes, equal bytes for equal arrays, errors for damage."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from im2hands.core.errors import TakeError
from im2hands.core.files import pack_arrays, write_atomically
from im2hands.core.repacking import repack_arrays
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take

HEADER = {"source": {}, "fps": 25.0, "image_size": [8, 8], "camera": {}, "settings": {}, "provenance": {}}


def hand_arrays(side: str = "left") -> dict[str, np.ndarray]:
    arrays = {
        "vertices": np.zeros((4, 3), np.float32),
        "faces": np.array([[0, 1, 2]], np.int32),
        "keypoints": np.zeros((21, 3), np.float32),
        "keypoints_2d": np.zeros((21, 2), np.float32),
        "confidence": np.ones(21, np.float32),
        "bone_lengths": np.ones(16, np.float32),
    }
    return {f"{side}_{name}": array for name, array in arrays.items()}


def test_round_trip(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "täke 手", HEADER)
    extra = {"left_template_vertices": np.ones((5, 3), np.float32)}
    take.write_frame(
        FrameRecord(12, "partial", hands={"left": {"confidence": 0.5}}, extra={"time": 1.5}), {**hand_arrays(), **extra}
    )
    take.write_frame(FrameRecord(3, "empty", message="No hand."), None)
    again = Take.open(tmp_path / "täke 手" / "take.json")
    assert [record.index for record in again.frames()] == [3, 12]
    assert again.records[12].file == "frames/000012.npz"
    assert again.records[12].extra == {"time": 1.5}
    assert again.read_frame(3) == {}
    hands = again.read_frame(12)
    assert list(hands) == ["left"]
    assert hands["left"]["template_vertices"].shape == (5, 3)
    with pytest.raises(TakeError, match="no frame 4"):
        again.read_frame(4)


def test_same_arrays_same_bytes() -> None:
    arrays = hand_arrays()
    assert pack_arrays(arrays) == pack_arrays(dict(reversed(arrays.items())))


def test_added_arrays_give_the_bytes_of_all_arrays() -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(50, 3)).astype(np.float32) for name in ("b", "a_1", "a", "c")}
    some = {name: arrays[name] for name in ("c", "a")}
    rest = {name: arrays[name] for name in ("b", "a_1")}
    assert repack_arrays(pack_arrays(some), rest) == pack_arrays(arrays)
    assert repack_arrays(pack_arrays({**some, "b": np.zeros(3)}), rest) == pack_arrays(arrays)
    saved = io.BytesIO()
    np.savez(saved, **some)  # written by another program: not compressed
    with np.load(io.BytesIO(repack_arrays(saved.getvalue(), rest))) as found:
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("end", [0, 1, 40, 300, -1, -30])
def test_arrays_are_not_added_to_a_damaged_file(end: int) -> None:
    packed = pack_arrays({"a": np.arange(200), "b": np.arange(200.0)})
    with pytest.raises(ValueError, match="damaged"):
        repack_arrays(packed[:end], {"c": np.zeros(3)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "There is no take in"),
        ("{", "Cannot read"),
        ('{"format": "other"}', "is not an Im2Hands take"),
        ('{"format": "im2hands-take", "version": 2, "frames": []}', "is a take of version 2; this program reads up to"),
        ('{"format": "im2hands-take", "version": 1, "frames": [{"file": ""}]}', "an entry of frames is damaged"),
    ],
)
def test_takes_that_cannot_be_read(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "take.json").write_text(text)
    with pytest.raises(TakeError, match=message):
        Take.open(tmp_path)


def test_damaged_frames(tmp_path: Path) -> None:
    take = Take.create(tmp_path, HEADER)
    take.write_frame(FrameRecord(1, "partial"), {name: a for name, a in hand_arrays().items() if "faces" not in name})
    take.write_frame(FrameRecord(2, "partial"), {**hand_arrays(), "left_faces": np.zeros((1, 3), np.int64)})
    take.write_frame(FrameRecord(3, "partial"), hand_arrays())
    with pytest.raises(TakeError, match="lacks left_faces"):
        take.read_frame(1)
    with pytest.raises(TakeError, match="left_faces is int64"):
        take.read_frame(2)
    path = tmp_path / "frames/000003.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TakeError, match="Cannot read"):
        take.read_frame(3)
    path.unlink()
    assert not take.is_complete(3, "")


def test_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Take.create(tmp_path, HEADER)
    take.write_frame(FrameRecord(1, "partial"), hand_arrays())
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TakeError, match="No space left on device") as caught:
        take.write_frame(FrameRecord(2, "partial"), hand_arrays())
    assert "disk with room" in caught.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TakeError, match="Cannot make the take folder"):
        Take.create(tmp_path / "file" / "take", HEADER)
    with pytest.raises(TakeError, match="Cannot write"):
        write_atomically(tmp_path / "file" / "x.npz", b"")


def test_header_is_json_for_everyone(tmp_path: Path) -> None:
    Take.create(tmp_path, {**HEADER, "source": {"inputs": ["/ä/手"]}})
    data = json.loads((tmp_path / "take.json").read_text(encoding="utf-8"))
    assert data["format"] == "im2hands-take"
    assert data["version"] == 1
    assert data["source"]["inputs"] == ["/ä/手"]
    assert data["frames"] == []
