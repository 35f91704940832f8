"""Names in any encoding, patterns as input, consoles that cannot show every character, and a pipe for a file."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import bpy
import pytest
import synthetic

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have only text as file names")


@pytest.fixture
def odd_photo(photo: Path) -> Path:
    """A photo whose name and folder are not UTF-8."""
    folder = photo.parent / os.fsdecode(b"shots_\xfe")
    folder.mkdir()
    return photo.rename(folder / os.fsdecode(b"photo_\xff.png"))


def test_default_take_has_a_name_that_blender_can_keep(addon, odd_photo: Path, tmp_path: Path) -> None:
    default_take = addon("locations").default_take
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert default_take([str(odd_photo)]) == tmp_path / "takes" / "photo_xff"
    assert default_take([str(odd_photo.parent)]) == tmp_path / "takes" / "shots_xfe"
    assert default_take([str(odd_photo), str(odd_photo)]) == tmp_path / "takes" / "shots_xfe"
    assert default_take([str(tmp_path / "手.png")]) == tmp_path / "takes" / "手"


@pytest.mark.parametrize("pattern", ["*.png", "photo_?.png", "photo_####.png", "photo_%04d.png"])
def test_pattern(addon, fake_backend, odd_photo: Path, tmp_path: Path, pattern: str) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    result = addon("api").reconstruct(str(odd_photo.parent / pattern), backend=fake_backend("good"))
    assert result.take == tmp_path / "takes" / "shots_xfe"
    assert result.summary["ok"] == 3


def test_reconstruct(addon, fake_backend, odd_photo: Path, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    result = addon("api").reconstruct(str(odd_photo), backend=fake_backend("good"))
    assert result.exit_code == 0
    assert result.collection is not None
    assert result.collection.name == "photo_xff"


def test_output_that_blender_cannot_keep(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    output = tmp_path / os.fsdecode(b"take_\xfd")
    with pytest.raises(addon("errors").InputError, match="is not UTF-8"):
        addon("api").reconstruct(str(photo), str(output), backend=fake_backend("good"))
    assert not output.exists()
    synthetic.write_take(output, {1: ("left", "right")})
    with pytest.raises(addon("errors").AddonError, match="UTF-8"):
        addon("api").import_take(str(output))


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_console(addon, fake_backend, odd_photo: Path, tmp_path: Path, monkeypatch, encoding: str) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", shown)
    arguments = [
        "reconstruct",
        str(odd_photo),
        "--output",
        str(tmp_path / "take_手"),
        "--backend",
        fake_backend("good"),
    ]
    run = addon("command_line").run
    assert run(arguments) == 0
    assert run(["import", str(tmp_path / os.fsdecode(b"nothing_\xff"))]) == 2
    said = shown.buffer.getvalue()
    assert b"take_\\u624b" in said
    assert b"nothing_\\udcff" in said
    assert (
        run(["reconstruct", "--output", str(tmp_path / "take"), "--backend", fake_backend("good"), "--", "-no.png"])
        == 2
    )
    assert b"-no.png" in shown.buffer.getvalue()


def test_import_of_photos_with_odd_names(addon, odd_photo: Path, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("left", "right"), 3: ()})
    header = json.loads((folder / "take.json").read_text(encoding="utf-8"))
    other = odd_photo.with_name(os.fsdecode(b"other_\xff.png"))
    for record, path in zip(header["frames"], (odd_photo, other, other), strict=True):
        record["image"] = str(path)
    header["frames"][2].update(status="failed", message=f"Cannot read {other}.")
    header["source"].update(kind="images", inputs=[str(odd_photo.parent)], files=[str(odd_photo), str(other)])
    (folder / "take.json").write_text(json.dumps(header), encoding="utf-8")
    collection, problems = addon("api").import_take(folder)
    assert len([one for one in collection.all_objects if one.type == "MESH"]) == 4
    said = " ".join(problems)
    assert said.encode("utf-8")
    assert "other_\\udcff.png" in said


def test_bone_map_that_is_a_pipe(addon, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "map.json")
    with pytest.raises(addon("errors").InputError, match="not a regular file"):
        addon("bone_maps").read_map(tmp_path / "map.json")
