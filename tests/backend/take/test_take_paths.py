"""Paths of a take that lead out of its folder: no file there is read, written or deleted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_take import HEADER, hand_arrays

from im2hands.app.cli import main as cli
from im2hands.core.errors import InputError, TakeError, UnsafePathError
from im2hands.export.write import export_take
from im2hands.take.paths import is_plain
from im2hands.take.record import FrameRecord
from im2hands.take.take import Take
from simulated_takes import simulate, write_take

RunJob = Callable[..., Any]

# The tests of the add-on use the same table.
CASES: dict[str, list[Any]] = json.loads((Path(__file__).parents[2] / "take_paths.json").read_text(encoding="utf-8"))
VICTIM = "../outside/victim.npz"


def point_to(folder: Path, file: object, frame: int = 0) -> None:
    """Change the ``file`` of one record of a take."""
    path = folder / "take.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["frames"][frame]["file"] = file
    path.write_text(json.dumps(data), encoding="utf-8")


def move_out(path: Path, target: Path, link: bool) -> None:
    """Move a file or folder of a take out of it; leave a link to it, or nothing."""
    target.parent.mkdir(exist_ok=True)
    path.rename(target)
    if link:
        path.symlink_to(target, target_is_directory=target.is_dir())


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return the content of every path under a folder: a link's target, a file's bytes, None for a folder."""
    paths = sorted(folder.rglob("*"))
    return {str(path): content(path) for path in paths}


def content(path: Path) -> bytes | None:
    if path.is_symlink():
        return bytes(path.readlink())
    return path.read_bytes() if path.is_file() else None


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A take of one frame, with a template and a motion file."""
    take = Take.create(tmp_path / "take", HEADER)
    take.write_frame(FrameRecord(7, "partial", hands={"left": {}}), hand_arrays())
    for name in ("template.npz", "motion.npz"):
        (take.folder / name).write_bytes((take.folder / "frames/000007.npz").read_bytes())
    (take.folder / "footage").mkdir()
    return take.folder


@pytest.mark.parametrize("file", CASES["unsafe"], ids=repr)
def test_unsafe_paths_are_refused(small: Path, file: object) -> None:
    point_to(small, file)
    assert not is_plain(file)
    with pytest.raises(TakeError, match="not a plain path inside the take") as caught:
        Take.open(small)
    assert str(small) in caught.value.message
    assert "Frame 7" in caught.value.message
    assert repr(file) in caught.value.message
    assert caught.value.hint
    assert caught.value.code == "take"
    caught.value.message.encode("utf-8")  # the message can be printed


@pytest.mark.parametrize("file", [*CASES["safe"], *CASES["absent"]], ids=repr)
def test_safe_paths_are_taken(small: Path, file: str | None) -> None:
    if file:
        (small / file).parent.mkdir(parents=True, exist_ok=True)
        (small / "frames/000007.npz").rename(small / file)
    point_to(small, file)
    take = Take.open(small)
    assert take.records[7].file == (file or "")
    assert list(take.read_frame(7)) == (["left"] if file else [])


@pytest.mark.parametrize("name", [name.replace("000001", "000007") for name in CASES["linked_out"]])
def test_links_out_of_the_take_are_refused(small: Path, name: str) -> None:
    target = small.parent / "outside" / Path(name).name
    move_out(small / name, target, link=True)
    with pytest.raises(TakeError, match="link out of the take") as caught:
        Take.open(small)
    assert all(part in caught.value.message for part in (str(small), repr(name), str(target.resolve())))
    assert ("Frame 7" in caught.value.message) == ("/" in name)


def test_links_that_stay_inside(small: Path, tmp_path: Path) -> None:
    move_out(small / "frames/000007.npz", small / "kept.npz", link=True)
    move_out(small / "frames", small / "numbered", link=True)
    (tmp_path / "link").symlink_to(small, target_is_directory=True)
    assert list(Take.open(tmp_path / "link").read_frame(7)) == ["left"]


def test_a_folder_whose_name_begins_as_that_of_the_take_is_outside(small: Path) -> None:
    move_out(small / "frames", small.with_name("take2"), link=True)
    with pytest.raises(UnsafePathError):
        Take.open(small)


def test_a_link_to_itself(small: Path) -> None:
    (small / "frames/000007.npz").unlink()
    (small / "frames/000007.npz").symlink_to("000007.npz")
    with pytest.raises(TakeError):
        Take.open(small).read_frame(7)


def test_links_out_are_refused_before_a_take_is_begun(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "take").mkdir()
    (tmp_path / "take" / "frames").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(UnsafePathError):
        Take.create(tmp_path / "take", HEADER)
    assert everything(tmp_path / "outside") == {}


@pytest.mark.parametrize("how", ["overwrite", "resume"])
@pytest.mark.parametrize("file", ["../victim.txt", "{outside}/victim.txt", "frames/../../victim.txt"])
def test_a_job_deletes_nothing_outside(pictures: Path, tmp_path: Path, run_job: RunJob, file: str, how: str) -> None:
    run_job(pictures)
    (tmp_path / "victim.txt").write_text("keep")
    point_to(tmp_path / "take", file.format(outside=tmp_path), frame=1)
    before = everything(tmp_path)
    with pytest.raises(UnsafePathError, match=r"Frame 4 .*victim\.txt"):
        run_job(pictures, overwrite=how == "overwrite", resume=how == "resume")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("how", ["overwrite", "resume"])
@pytest.mark.parametrize("name", ["frames", "frames/000004.npz", "cache", "cache/hands", "cache/hands/000004.npz"])
def test_a_job_follows_no_link_out(pictures: Path, tmp_path: Path, run_job: RunJob, name: str, how: str) -> None:
    run_job(pictures)
    target = tmp_path / "outside" / Path(name).name
    move_out(tmp_path / "take" / name, target, link=True)
    if target.is_dir():
        (target / ".000004.npz.1.tmp").write_text("looks like a leftover of a killed job")
    before = everything(tmp_path)
    with pytest.raises(UnsafePathError, match=f"'{name}', which is a link out of the take"):
        run_job(pictures, overwrite=how == "overwrite", resume=how == "resume")
    assert everything(tmp_path) == before


def test_a_job_minds_no_foreign_names_in_the_cache(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    (tmp_path / "take/cache/notes: mine ").write_text("")
    finished, _ = run_job(pictures)
    assert finished.summary.reused == 4


def test_overwriting_a_take_that_names_a_folder(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    point_to(tmp_path / "take", "cache")
    with pytest.raises(TakeError, match="Cannot delete"):
        run_job(pictures, overwrite=True)


@pytest.mark.parametrize("link", [False, True])
def test_clean_writes_nothing_outside(tmp_path: Path, link: bool, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_take(tmp_path / "take", simulate(2, seed=3)).folder
    move_out(folder / "frames/000001.npz", tmp_path / "outside/victim.npz", link)
    if not link:
        point_to(folder, VICTIM)
    before = everything(tmp_path)
    assert cli.main(["clean", str(folder), "--template-density", "0"]) == InputError.exit_code
    assert "Frame 1 of the take" in capsys.readouterr().err
    assert everything(tmp_path) == before


@pytest.mark.parametrize("link", [False, True])
def test_export_reads_nothing_outside(small: Path, link: bool) -> None:
    move_out(small / "frames/000007.npz", small.parent / "outside/victim.npz", link)
    if not link:
        point_to(small, VICTIM)
    with pytest.raises(UnsafePathError):
        export_take(small, "ply", small.parent / "out")
    assert not (small.parent / "out").exists()


def test_export_reads_no_motion_outside(small: Path) -> None:
    move_out(small / "motion.npz", small.parent / "outside/motion.npz", link=True)
    with pytest.raises(UnsafePathError, match=r"motion\.npz"):
        export_take(small, "glb", mesh="clean")
