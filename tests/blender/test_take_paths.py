"""The add-on refuses paths that lead out of a take's folder, as the backend does."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import pytest
import synthetic

# The backend's tests use the same table.
CASES = json.loads((Path(__file__).parents[1] / "take_paths.json").read_text(encoding="utf-8"))


@pytest.fixture
def reader(addon):
    return addon("take.reader")


@pytest.fixture
def take_error(addon):
    return addon("errors").TakeError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    for name in ("template.npz", "motion.npz"):
        (folder / name).write_bytes((folder / "frames/000001.npz").read_bytes())
    (folder / "footage").mkdir()
    return folder


def point_to(folder: Path, file: object) -> None:
    path = folder / "take.json"
    data = json.loads(path.read_text("utf-8"))
    data["frames"][0]["file"] = file
    path.write_text(json.dumps(data), "utf-8")


def move_out(path: Path, target: Path) -> None:
    """Move a file or a folder out of a take and put a symbolic link in its place."""
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    path.symlink_to(target, target_is_directory=target.is_dir())


@pytest.mark.parametrize("file", CASES["unsafe"], ids=repr)
def test_unsafe_paths_are_refused(addon, reader, take_error, folder: Path, file: object) -> None:
    point_to(folder, file)
    assert not addon("take.paths").is_plain(file)
    with pytest.raises(take_error, match="not a plain path inside the take") as caught:
        reader.read_take(folder)
    assert all(part in caught.value.message for part in (str(folder), "Frame 1", repr(file)))
    assert caught.value.hint


@pytest.mark.parametrize("file", [*CASES["safe"], *CASES["absent"]], ids=repr)
def test_safe_paths_are_taken(reader, folder: Path, file: str | None) -> None:
    if file:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "frames/000001.npz").rename(folder / file)
    point_to(folder, file)
    assert set(reader.read_take(folder).read_hands(1)) == ({"left"} if file else set())


@pytest.mark.parametrize("name", CASES["linked_out"])
def test_links_out_of_the_take_are_refused(reader, take_error, folder: Path, name: str) -> None:
    target = folder.parent / "outside" / Path(name).name
    move_out(folder / name, target)
    with pytest.raises(take_error, match="link out of the take") as caught:
        reader.read_take(folder)
    assert all(part in caught.value.message for part in (str(folder), repr(name), str(target.resolve())))


def test_links_that_stay_inside(reader, folder: Path, tmp_path: Path) -> None:
    move_out(folder / "frames/000001.npz", folder / "kept.npz")
    move_out(folder / "frames", folder / "numbered")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert set(reader.read_take(tmp_path / "link").read_hands(1)) == {"left"}


def test_an_unsafe_take_brings_nothing_into_the_scene(addon, take_error, folder: Path) -> None:
    point_to(folder, "../take/frames/000001.npz")
    with pytest.raises(take_error, match="not a plain path"):
        addon("api").import_take(folder)
    assert not bpy.data.meshes
