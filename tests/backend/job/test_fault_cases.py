"""Kept damage of takes (tests/fault_cases) in export, clean and resume: said in words, healed, and the rest goes on."""

from __future__ import annotations

import io
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import FakeParts
from im2hands.animation.clean_options import CleanOptions
from im2hands.animation.cleaned_take import CleanTake
from im2hands.animation.motion.tracks import rows_of
from im2hands.app.cli import main as cli
from im2hands.core.errors import DamagedFramesError, InputError, TakeError
from im2hands.core.files import pack_arrays
from im2hands.export.write import export_take
from im2hands.job.clean_phase import CleanPhase
from im2hands.take.arrays import LIMITS
from im2hands.take.frame_file import read_template
from im2hands.take.take import Take
from mutants import FAULTS, case_files, damaged_bytes
from simulated_takes import simulate, write_take

RunJob = Callable[..., Any]
LIGHT, MEDIUM = CleanOptions(template_density=0), CleanOptions(template_density=1)
ALL_CASES = [pytest.param(target, path, id=path.name) for _, target, path in case_files()]
FRAME_CASES = [case for case in ALL_CASES if case.values[0].startswith("frames/")]  # type: ignore[union-attr]

pytestmark = pytest.mark.usefixtures("fixed_date")


def damaged_take(folder: Path, target: str, file: Path, base: Path = FAULTS / "base_take") -> Path:
    """Make a copy of the kept take with a file exchanged."""
    shutil.copytree(base, folder)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / target)
    return folder


def clean(take: Take, options: CleanOptions = LIGHT) -> dict[str, Any]:
    return CleanPhase(take, options, lambda work: work(), lambda done, total: None).run()


def bytes_of(take: Path) -> dict[str, bytes]:
    files = [path for path in take.rglob("*") if path.is_file() and "cache" not in path.relative_to(take).parts]
    return {str(path.relative_to(take)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def cleaned_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kept take, cleaned on this machine: others round differently."""
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path_factory.mktemp("here") / "take"))
    take = Take.open(folder)
    for record in take.frames():
        for facts in record.hands.values():
            del facts["template"], facts["status"]
    del take.header["clean"]
    clean(take)
    return folder


@pytest.mark.parametrize("mesh", ["clean", "surface"])
@pytest.mark.parametrize("format_name", ["glb", "obj", "ply"])
@pytest.mark.parametrize(("target", "file"), ALL_CASES)
def test_export_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, file: Path, format_name: str, mesh: str
) -> None:
    take = damaged_take(tmp_path / "take", target, file)
    needed = target == "take.json" or target.startswith("frames/") == (mesh == "surface")
    output = tmp_path / ("out.glb" if format_name == "glb" else "out")
    arguments = ["export", str(take), "--to", format_name, "--mesh", mesh, "-o", str(output)]
    code = cli.main(arguments)
    if not needed or target.startswith("cache"):
        assert code == 0
        return
    assert code == InputError.exit_code
    assert str(take) in capsys.readouterr().err
    if target.startswith("frames/"):  # the other frame is there
        assert output.is_file() or {path.stem[:6] for path in output.iterdir()} == {"000002"}


@pytest.mark.parametrize(
    ("array", "place", "value"),
    [("left_faces", (0, 0), -5), ("left_faces", (0, 1), 10**6), ("right_vertices", (3, 1), np.nan),
     ("left_vertices", (0, 0), np.inf), ("left_keypoints", (4, 2), np.nan), ("right_confidence", (7,), 1.5),
     ("right_confidence", (7,), -0.1), ("left_bone_lengths", (2,), 0.0), ("left_thickness", (), 0.0),
     ("left_keypoints_2d", (1, 1), np.nan)],
)  # fmt: skip
def test_values_that_no_hand_has(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    array: str,
    place: tuple[int, ...],
    value: float,
    addon_reader: Any,
) -> None:
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    with np.load(folder / "frames/000001.npz") as data:
        arrays = {name: data[name].copy() for name in data.files}
    arrays.setdefault("left_thickness", np.ones((), np.float32))  # the take is one of an earlier version
    arrays[array][place] = value
    (folder / "frames/000001.npz").write_bytes(pack_arrays(arrays))
    with pytest.raises(DamagedFramesError, match=array) as caught:
        export_take(folder, "ply", tmp_path / "out", mesh="surface")
    assert list(caught.value.frames) == [1]
    assert "Frame 1 was left out" in str(caught.value)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["000002_left.ply", "000002_right.ply"]
    assert cli.main(["export", str(folder), "--to", "obj", "--mesh", "surface"]) == InputError.exit_code
    assert array in capsys.readouterr().err
    with pytest.raises(Exception, match=f"frame 1 .*{array}"):
        addon_reader.read_take(folder).read_hands(1)


@pytest.mark.parametrize(("target", "file"), ALL_CASES)
def test_clean_goes_on_with_the_rest(cleaned_here: Path, tmp_path: Path, target: str, file: Path) -> None:
    folder = damaged_take(tmp_path / "take", target, file, cleaned_here)
    if target == "take.json":
        with pytest.raises(TakeError):
            clean(Take.open(folder))
        return
    if target.startswith("frames/"):
        for _ in range(2):  # the frame is still damaged in the next run
            with pytest.raises(DamagedFramesError, match=r"Frame 1 was left out.*The other frames were cleaned"):
                clean(Take.open(folder))
        assert CleanTake.read(Take.open(folder)).hands["left"].present[-1]
        shutil.copyfile(cleaned_here / target, folder / target)
    clean(Take.open(folder))
    before = bytes_of(cleaned_here)
    assert bytes_of(folder) | before == bytes_of(folder)
    assert set(CleanTake.read(Take.open(folder)).hands) == {"left", "right"}


@pytest.mark.parametrize(("target", "file"), FRAME_CASES)
def test_resume_makes_a_damaged_or_foreign_frame_again(
    pictures: Path, tmp_path: Path, run_job: RunJob, target: str, file: Path
) -> None:
    options = {"clean": file.name.startswith("clean"), "template_density": 0}
    run_job(pictures, **options)
    before = bytes_of(tmp_path / "take")
    shutil.copyfile(file, tmp_path / "take/frames/000004.npz")
    parts = FakeParts()
    finished, _ = run_job(pictures, parts=parts, **options)
    assert parts.reconstructor_made.calls == [4]
    assert (finished.summary.ok, finished.summary.reused) == (4, 3)
    assert bytes_of(tmp_path / "take") == before


def test_resume_makes_any_damaged_frame_again(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    before = bytes_of(tmp_path / "take")
    path = tmp_path / "take/frames/000005.npz"
    for number in range(8):
        path.write_bytes(damaged_bytes(before["frames/000005.npz"], np.random.default_rng(number)))
        run_job(pictures)
        left = bytes_of(tmp_path / "take")
        # A bit that says nothing about the arrays, such as a date in the archive, may stay.
        assert Take.open(tmp_path / "take").is_complete(5, Take.open(tmp_path / "take").records[5].key)
        assert {**left, "frames/000005.npz": b""} == {**before, "frames/000005.npz": b""}


def test_resume_makes_a_frame_of_another_setting_again(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    """A job that is killed between a frame's rename and its record leaves such a file."""
    run_job(pictures)
    before = bytes_of(tmp_path / "take")
    run_job(pictures, tmp_path / "other", voxel_mm=3.0)
    shutil.copyfile(tmp_path / "other/frames/000005.npz", tmp_path / "take/frames/000005.npz")
    parts = FakeParts()
    run_job(pictures, parts=parts)
    assert parts.reconstructor_made.calls == [5]
    assert bytes_of(tmp_path / "take") == before


def test_takes_without_keys_inside_are_read_to_be_reused(pictures: Path, tmp_path: Path, run_job: RunJob) -> None:
    run_job(pictures)
    for path in (tmp_path / "take/frames").iterdir():
        with np.load(path) as data:
            assert str(data["key"]) == Take.open(tmp_path / "take").records[int(path.stem)].key
            path.write_bytes(pack_arrays({name: data[name] for name in data.files if name != "key"}))
    path.write_bytes(path.read_bytes()[:-300])
    assert run_job(pictures)[0].summary.reused == 3


@pytest.mark.parametrize("name", ["hands/000005.npz", "clip.json"])
def test_a_damaged_cache_is_found_again(pictures: Path, tmp_path: Path, run_job: RunJob, name: str) -> None:
    run_job(pictures)
    before = bytes_of(tmp_path / "take")
    path = tmp_path / "take/cache" / name
    good = path.read_bytes()
    kept = [file for _, target, file in case_files() if target.startswith("cache/")]
    mutants = [damaged_bytes(good, np.random.default_rng(number)) for number in range(5)]
    for mutant in (*mutants, *(file.read_bytes() for file in kept), good.replace(b"[3, 4, 5, 6]", b"[3, 4, 5, 5]")):
        path.write_bytes(mutant)
        run_job(pictures)
        assert bytes_of(tmp_path / "take") == before


@pytest.mark.parametrize("file", sorted((FAULTS / "takes").glob("*take.json")), ids=lambda path: path.name)
def test_resume_refuses_a_damaged_take_and_changes_nothing(
    pictures: Path, tmp_path: Path, run_job: RunJob, file: Path
) -> None:
    run_job(pictures)
    shutil.copyfile(file, tmp_path / "take/take.json")
    before = bytes_of(tmp_path / "take")
    with pytest.raises(TakeError):
        run_job(pictures)
    assert bytes_of(tmp_path / "take") == before


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cleaned") / "take"
    clean(write_take(folder, simulate(2, seed=5)))
    return folder


@pytest.mark.parametrize("writes", [1, 3, 5, 8, 11, 12, 14, 16])
def test_a_clean_killed_with_another_density_heals(
    cleaned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    folder = Path(shutil.copytree(cleaned, tmp_path / "take"))
    before = bytes_of(folder)
    left = [writes]

    def counted(original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **more: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            original(*arguments, **more)

        return call

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        for name in ("fsync", "replace", "unlink"):
            patch.setattr(os, name, counted(getattr(os, name)))
        clean(Take.open(folder), MEDIUM)
    for path in folder.rglob(".*.tmp"):
        path.unlink()
    clean(Take.open(folder), LIGHT)
    assert bytes_of(folder) == before
    assert set(CleanTake.read(Take.open(folder)).hands) == {"left", "right"}


def test_template_and_motion_of_two_runs(cleaned: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cleaned, tmp_path / "take"))
    before = bytes_of(folder)
    for name in ("template.npz", "motion.npz"):
        with np.load(folder / name) as data:
            changed = {each: data[each] for each in data.files} | {"key": np.array("0" * 32)}
        (folder / name).write_bytes(pack_arrays(changed))
        with pytest.raises(TakeError, match=f"{name} belongs to another run"):
            CleanTake.read(Take.open(folder))
        clean(Take.open(folder))
        assert bytes_of(folder) == before


def test_memory_follows_the_frames_and_not_their_numbers(tmp_path: Path) -> None:
    folder = damaged_take(tmp_path / "take", "take.json", FAULTS / "index_1000000_take.json")
    tracemalloc.start()
    try:
        clean(Take.open(folder))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 256 * 2**20
    motion = CleanTake.read(Take.open(folder))
    assert (motion.frames[0], motion.frames[-1], len(motion.frames)) == (1, 1_000_000, 1002)
    assert motion.row(1_000_000) == 1001
    with np.load(folder / "motion.npz") as data:
        assert data["left_status"].tolist() == [1, *[0] * 1000, 1]
    export_take(folder, "glb", tmp_path / "out.glb")


def test_rows_of_a_motion() -> None:
    assert rows_of([3, 4, 9]).tolist() == list(range(3, 10))
    assert rows_of([1, 1002]).tolist() == list(range(1, 1003))
    assert len(rows_of([1, 1003])) == 1002
    with pytest.raises(TakeError, match="can be cleaned together"):
        rows_of(list(range(1, LIMITS["last_frame"], 900)))


@pytest.mark.parametrize("index", [-1, 1_048_575, 10**12, 1.0, "5", True])
def test_frame_numbers_have_a_limit(tmp_path: Path, index: object) -> None:
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    text = (
        (folder / "take.json")
        .read_text()
        .replace('"index": 2', f'"index": {index!r}'.replace("'", '"').replace("True", "true"))
    )
    (folder / "take.json").write_text(text)
    with pytest.raises(TakeError, match="frame number"):
        Take.open(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("frames/000001.npz", "left_vertices"),
        ("template.npz", "left_rest_vertices"),
        ("motion.npz", "left_offset_basis"),
    ],
)
def test_a_bomb_takes_no_memory(tmp_path: Path, name: str, array: str, addon_reader: Any) -> None:
    from attacks import load_addon

    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    with zipfile.ZipFile(folder / name) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (20 * 2**20, 3)})
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in {**parts, "left_bomb.npy": b""}:
            if each not in (f"{array}.npy", "left_bomb.npy"):
                archive.writestr(each, parts[each])
                continue
            with archive.open(each, "w") as file:
                file.write(header.getvalue())
                for _ in range(12 * 20):
                    file.write(bytes(2**20))
    addon = load_addon()
    tracemalloc.start()
    try:
        for read in (
            lambda: Take.open(folder).read_frame(1),
            lambda: read_template(folder / "template.npz"),
            lambda: CleanTake.read(Take.open(folder)),
            lambda: addon_reader.read_take(folder).read_hands(1),
            lambda: addon.take.motion.read_animation(addon_reader.read_take(folder)),
        ):
            try:
                read()
            except Exception as error:
                assert Path(name).name in str(error)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("name", ["take.json", "frames.jsonl", "frames/000001.npz", "template.npz", "motion.npz"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str, addon_reader: Any) -> None:
    from attacks import load_addon

    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    addon = load_addon()

    def backend() -> None:
        take = Take.open(folder)
        take.read_frame(1)
        CleanTake.read(take)

    def in_blender() -> None:
        take = addon_reader.read_take(folder)
        take.read_hands(1)
        # What is no file does not count as clean motion.
        assert addon.take.motion.read_animation(take) is None
        raise addon.errors.TakeError("It is not a regular file.")

    with pytest.raises(TakeError, match="not a regular file"):
        backend()
    with pytest.raises(addon.errors.TakeError, match="not a regular file"):
        in_blender()
