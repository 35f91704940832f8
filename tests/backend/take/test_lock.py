"""The lock of a take: a second job is refused before it changes anything, and a dead owner's lock is taken over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_take import hand_arrays

from fakes import FakeParts, FakeReconstructor, write_picture
from im2hands.app.cli.main import main
from im2hands.core.errors import Cancelled, InputError, TakeError
from im2hands.job import reconstruct
from im2hands.job.footage_writer import FootageWriter
from im2hands.media.source import open_source
from im2hands.take import lock as lock_module
from im2hands.take.lock import LIFE_SECONDS, LOCK_FILE, TakeLock
from im2hands.take.record import FrameRecord
from im2hands.take.take import OWN_FILES, Take
from simulated_takes import simulate, write_take

RunJob = Callable[..., Any]

OWNER = """
import sys, time
from pathlib import Path
from im2hands.take.lock import TakeLock
lock = TakeLock.acquire(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start_owner() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """A function that starts a process which locks a take and keeps the lock."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pretend_owner(folder: Path, *, age: float, **facts: object) -> None:
    """Leave a lock file as another computer or an earlier start of this one does."""
    owner = {"host": "studio-7", "pid": 4711, "since": "2024-05-01T10:00:00+00:00", "computer": "other", **facts}
    (folder / LOCK_FILE).write_text(json.dumps(owner))
    moment = time.time() - age
    os.utime(folder / LOCK_FILE, (moment, moment))


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": False}])
def test_a_second_job_is_refused_before_it_changes_anything(
    pictures: Path, tmp_path: Path, run_job: RunJob, start_owner: Callable[[Path], Any], how: dict[str, bool]
) -> None:
    run_job(pictures)
    take = tmp_path / "take"
    (take / "frames/.000003.npz.99.0a1b2c3d.tmp").write_text("the other job writes this")
    owner = start_owner(take)
    before = everything(take)
    with pytest.raises(InputError, match=f"in use by another job, process {owner.pid} on this computer") as caught:
        run_job(pictures, **how)
    assert "stop it" in caught.value.hint
    assert everything(take) == before


def test_clean_is_refused_too_and_readers_are_not(
    tmp_path: Path, start_owner: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    take = write_take(tmp_path / "take", simulate(2, seed=3)).folder
    start_owner(take)
    before = everything(take)
    assert main(["clean", str(take), "--template-density", "0"]) == InputError.exit_code
    assert "is in use by another job" in capsys.readouterr().err
    assert main(["export", str(take), "--to", "ply", "-o", str(tmp_path / "out")]) == 0
    assert everything(take) == before
    assert sorted(Take.open(take).read_frame(1)) == ["left", "right"]


def test_the_lock_of_a_killed_process_is_taken_over(
    pictures: Path, tmp_path: Path, run_job: RunJob, start_owner: Callable[[Path], Any]
) -> None:
    run_job(pictures)
    take = tmp_path / "take"
    finished = everything(take)
    owner = start_owner(take)
    (take / "frames/.000003.npz.99.0a1b2c3d.tmp").write_text("cut off")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert (take / LOCK_FILE).exists()
    result, _ = run_job(pictures)
    assert result.summary.reused == 4
    assert everything(take) == finished, "neither the lock nor the leftover stays"


def test_two_real_jobs_in_one_take(tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    """The second one is refused, the first one killed and taken over; the take is that of one job."""

    def job(output: str, *more: str) -> subprocess.Popen[bytes]:
        keypoints = keypoint_job["options"]["keypoints"]
        arguments = ["reconstruct", *keypoint_job["inputs"], "-o", str(tmp_path / output), "--keypoints", keypoints]
        arguments += ["--device", "cpu", "--no-clean", "--voxel-mm", "8", "--json", *more]
        own = {"IM2HANDS_STATE": str(tmp_path / "state"), "SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "im2hands", *arguments]
        return subprocess.Popen(command, env={**os.environ, **own}, stdout=pipe, stderr=pipe)

    first = job("take", "--frames", "1-4")
    assert first.stdout is not None
    for line in first.stdout:
        if json.loads(line)["type"] == "frame":
            first.send_signal(signal.SIGSTOP)  # it works on, as far as others can see
            break
    second = job("take", "--overwrite")
    output, _ = second.communicate(timeout=120)
    last = json.loads(output.splitlines()[-1])
    assert second.returncode == InputError.exit_code
    assert (last["type"], last["code"]) == ("error", "input")
    assert f"process {first.pid}" in last["message"]
    first.kill()
    first.communicate()
    for output_folder in ("take", "alone"):
        third = job(output_folder)
        assert third.communicate(timeout=120)[0]
        assert third.returncode == 0
    for folder in ("take", "alone"):
        shutil.rmtree(tmp_path / folder / "cache", ignore_errors=True)
    assert everything(tmp_path / "take") == everything(tmp_path / "alone")


@pytest.mark.parametrize("age", [0.0, LIFE_SECONDS / 2])
def test_an_owner_on_another_computer_that_shows_life(tmp_path: Path, age: float) -> None:
    pretend_owner(tmp_path, age=age)
    before = everything(tmp_path)
    with pytest.raises(InputError, match="process 4711 on 'studio-7'") as caught:
        TakeLock.acquire(tmp_path)
    assert "switched off" in caught.value.hint
    assert everything(tmp_path) == before


@pytest.mark.parametrize("age", [2 * LIFE_SECONDS, -1e6])
def test_an_owner_on_another_computer_or_before_a_restart_that_shows_none(tmp_path: Path, age: float) -> None:
    pretend_owner(tmp_path, age=age)
    lock = TakeLock.acquire(tmp_path)
    assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    lock.release()
    assert everything(tmp_path) == {}


def test_the_owner_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 0.01)
    lock = TakeLock.acquire(tmp_path)
    os.utime(tmp_path / LOCK_FILE, (1e9, 1e9))
    deadline = time.monotonic() + 20
    while (tmp_path / LOCK_FILE).stat().st_mtime < 2e9 - 5e8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / LOCK_FILE).stat().st_mtime > 1.5e9
    lock.release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{" * 9000, b'{"pid": "x"}', b'{"computer": 1e400}'])
def test_a_damaged_lock_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK_FILE).write_bytes(content)
    os.utime(tmp_path / LOCK_FILE, (1e9, 1e9))
    lock = TakeLock.acquire(tmp_path)
    with pytest.raises(InputError, match="in use"):
        TakeLock.acquire(tmp_path)
    lock.release()
    lock.release()
    assert everything(tmp_path) == {}


def test_a_file_system_without_kernel_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(handle: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock_module, "_try_kernel_lock", missing)
    lock = TakeLock.acquire(tmp_path)
    with pytest.raises(InputError, match="in use by another job of this program"):
        TakeLock.acquire(tmp_path)
    os.utime(tmp_path / LOCK_FILE, (1e9, 1e9))  # it was killed long ago
    TakeLock.acquire(tmp_path).release()
    lock.release()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_a_lock_that_is_no_file(pictures: Path, tmp_path: Path, run_job: RunJob, kind: str) -> None:
    assert LOCK_FILE in OWN_FILES
    (tmp_path / "take").mkdir()
    path, victim = tmp_path / "take" / LOCK_FILE, tmp_path / "victim.txt"
    victim.write_text("keep")
    {"link": lambda: path.symlink_to(victim), "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(TakeError, match=r"not a regular file|link out of the take") as caught:
        run_job(pictures)
    assert caught.value.hint
    assert victim.read_text() == "keep"


def test_an_abandoned_call_writes_nothing_after_the_end(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "take", {})
    take.hold(TakeLock.acquire(take.folder))
    take.write_frame(FrameRecord(1, "partial", hands={"left": {}}), hand_arrays())
    take.close()
    before = everything(take.folder)
    for write in (
        take.save,
        lambda: take.write_frame(FrameRecord(2, "empty"), None),
        lambda: take.add_arrays(1, {}),
        lambda: take.write_record(1),
    ):
        with pytest.raises(Cancelled):
            write()
    assert everything(take.folder) == before
    assert LOCK_FILE not in before


def test_the_next_job_of_a_server_may_begin_after_a_cancelled_one(pictures: Path, run_job: RunJob) -> None:
    slow = FakeReconstructor(delay=0.2)
    finished, _ = run_job(pictures, parts=FakeParts(reconstructor=slow), cancelled=lambda: bool(slow.calls))
    assert finished.cancelled
    assert not run_job(pictures)[0].cancelled


class Unneeded(FakeParts):
    """Components that must not be loaded."""

    def device_name(self, *_: object) -> str:
        raise AssertionError("networks were loaded before the lock was asked for")


@pytest.mark.parametrize("is_begun", [True, False])
def test_in_use_is_said_before_anything_slow(
    pictures: Path, tmp_path: Path, run_job: RunJob, start_owner: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch, is_begun: bool,
) -> None:  # fmt: skip
    """Also while the other job has no take yet, only the lock."""
    take = tmp_path / "take"
    if is_begun:
        run_job(pictures)
    else:
        take.mkdir()
    start_owner(take)
    before = everything(take)
    monkeypatch.setattr(reconstruct, "open_source", Unneeded().device_name)
    with pytest.raises(InputError, match="in use by another job"):
        run_job(pictures, parts=Unneeded())
    assert everything(take) == before


@pytest.mark.parametrize("there", [True, False])
def test_a_job_that_cannot_begin_leaves_nothing(tmp_path: Path, run_job: RunJob, there: bool) -> None:
    output = tmp_path / "films/one/take"
    if there:
        output.mkdir(parents=True)
    with pytest.raises(InputError):
        run_job(tmp_path / "missing.mp4", output)
    assert everything(tmp_path) == {}
    assert output.exists() == there == (tmp_path / "films").exists()


def test_an_owner_that_lost_the_lock_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its computer slept, another one took the lock over, and now it wakes up."""
    monkeypatch.setattr(lock_module, "_try_kernel_lock", lambda handle: None)  # says nothing between computers
    take = Take.create(tmp_path / "take", {})
    take.hold(TakeLock.acquire(take.folder))
    take.write_frame(FrameRecord(1, "partial", hands={"left": {}}), hand_arrays())
    monkeypatch.setattr(lock_module, "_computer", lambda: "another")
    with pytest.raises(InputError, match="in use"):
        TakeLock.acquire(take.folder)
    os.utime(take.folder / LOCK_FILE, (1e9, 1e9))
    other = TakeLock.acquire(take.folder)
    before = everything(take.folder)
    for write in (take.save, lambda: take.write_frame(FrameRecord(2, "empty"), None)):
        with pytest.raises(TakeError, match=r"lost the take.* is in use by"):
            write()
    take.close()
    assert everything(take.folder) == before, "the other job's lock is not deleted"
    monkeypatch.setattr(lock_module, "_computer", lambda: "a third one")
    with pytest.raises(InputError, match="in use"):
        TakeLock.acquire(take.folder)
    other.release()
    assert LOCK_FILE not in everything(take.folder)


def test_a_lock_that_somebody_deletes(tmp_path: Path) -> None:
    take = Take.create(tmp_path / "take", {})
    take.hold(TakeLock.acquire(take.folder))
    (take.folder / LOCK_FILE).unlink()
    with pytest.raises(TakeError, match=r"take\.lock was deleted"):
        take.save()
    second = TakeLock.acquire(take.folder)
    take.close()
    assert (take.folder / LOCK_FILE).exists()
    second.release()


@pytest.mark.parametrize("pid", [1, os.getpid()])
def test_the_number_of_a_dead_owner_is_used_again(tmp_path: Path, pid: int) -> None:
    pretend_owner(tmp_path, age=0.0, pid=pid, computer=lock_module._computer())
    TakeLock.acquire(tmp_path).release()
    assert everything(tmp_path) == {}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("case", ["lock", "folder"])
def test_locks_and_folders_of_other_people(tmp_path: Path, case: str) -> None:
    """A lock file that cannot be opened, and a folder that cannot be written: words, and what to do."""
    folder = tmp_path / "take"
    folder.mkdir()
    for place in (folder, *folder.parents):
        if place.is_relative_to(tmp_path.parents[2]):
            place.chmod(0o755)
    if case == "lock":
        folder.chmod(0o777)
        (folder / LOCK_FILE).write_text("{}")
        (folder / LOCK_FILE).chmod(0)
    code = "import os, sys; from pathlib import Path; from im2hands.take.lock import TakeLock; "
    code += "os.setuid(65534)\ntry: TakeLock.acquire(Path(sys.argv[1]))\n"
    code += "except Exception as error: print(type(error).__name__, error, error.hint)"
    ran = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("TakeError")
    assert ("delete that file" if case == "lock" else "a folder you may write to") in ran.stdout


def test_footage_is_not_written_after_the_end(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    picture_path = write_picture(tmp_path / "one.png", pixels)
    take = Take.create(tmp_path / "take", {})
    source = open_source([str(picture_path)])
    writer = FootageWriter(take, source, "always", "")
    take.close()
    before = everything(take.folder)
    with pytest.raises(Cancelled):
        list(writer.follow(source.read(source.entries)))
    assert everything(take.folder) == before
