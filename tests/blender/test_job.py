"""A job with the backend in another process: progress, warnings, cancelling, and all possible ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import extension_zip
import pytest

from conftest import MODULE

WAIT_SECONDS = 60.0


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def make_job(addon, tmp_path: Path, photo: Path):
    """A function: ``make_job(python)`` starts a job, which is ended after the test."""
    made = []

    def make(python: str, clock=time.monotonic, **options: object):
        module = addon("process.job")
        found = addon("process.environment").Found(Path(python), "here")
        job = module.Job(found, [str(photo)], str(tmp_path / "take"), module.Options(**options), "test", clock)
        made.append(job)
        return job

    yield make
    for job in made:
        job.close()


def poll_until(job, reached) -> list[int]:
    """Poll until ``reached()`` is true; return the frames that were finished."""
    frames, end = [], time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < end, f"still {job.state}"
        frames += job.poll()
        time.sleep(0.01)
    return frames


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").is_file():
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:  # it was collected in between
        return False


def wait_for_end(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


def test_from_start_to_end(make_job, fake_backend) -> None:
    job = make_job(fake_backend("good", 4))
    assert job.state == "starting" and job.progress.text == "Starting the backend"
    assert poll_until(job, lambda: job.has_ended) == [1, 2, 3, 4]
    assert job.state == "finished" and job.error is None
    assert job.summary["ok"] == 4 and set(job.frames.values()) == {"ok"}
    assert job.warnings == ["The focal length is assumed. Give the field of view."]
    assert wait_for_end(job.pid, 10)


def test_progress_in_words(addon) -> None:
    progress = addon("process.job").Progress
    assert progress("surfaces", 3, 12, 75.2).text == "Building the surfaces, 3 of 12, about a minute left"
    assert progress("keypoints", 0, 0, None).text == "Finding the hands"
    assert progress("dreaming", 1, 2, 7322).text == "dreaming, 1 of 2, about 2 hours left"
    seconds = {3: "a few seconds", 21: "about 20 seconds", 160: "about 3 minutes", 3600: "about 1 hour"}
    seconds |= {4000: "about 1 hour 5 minutes"}
    assert {one: progress("clean", 1, 2, one).text for one in seconds} == {
        one: f"Cleaning the motion, 1 of 2, {words} left" for one, words in seconds.items()
    }


def test_options_on_the_wire(addon) -> None:
    options = addon("process.options").Options
    table = addon("process.options").OPTIONS
    sent = options().to_dict()
    assert sent == {name: one.open_default for name, one in table.items() if one.open_default is not None}
    assert sent["quality"] == "standard" and not {"voxel_mm", "frames"} & set(sent)  # quality chooses the voxels
    assert options(frames="1-3", fov=50.0, hands="both").to_dict().items() >= {
        ("frames", "1-3"), ("fov", 50.0), ("hands", "both")}  # fmt: skip
    line = addon("process.messages").encode({"type": "x", "path": "手\n"})
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == {"type": "x", "path": "手\n"}


def test_a_path_that_is_no_utf8_comes_back_as_it_was(addon) -> None:
    messages, path = addon("process.messages"), "/shots/photo_\udcff.png"
    line = messages.encode({"type": "x", "path": path})
    assert line.decode("utf-8")
    assert messages.decode(line) == {"type": "x", "path": path}


def test_noise_is_passed_over(make_job, fake_backend) -> None:
    job = make_job(fake_backend("noisy"))
    assert poll_until(job, lambda: job.has_ended) == [1, 2, 3]
    assert job.state == "finished"


def test_killed_in_the_middle_and_taken_up_again(addon, make_job, fake_backend, tmp_path: Path) -> None:
    job = make_job(fake_backend("dies", 4))
    assert poll_until(job, lambda: job.has_ended) == [1, 2]
    assert job.state == "failed"
    assert "ended unexpectedly" in job.error.message and "killed" in job.error.message
    assert "out of luck" in job.error.message
    assert "Reconstruct continues" in job.error.hint
    assert list(addon("take.reader").read_take(tmp_path / "take").records) == [1, 2]
    again = make_job(fake_backend("dies", 4))
    assert poll_until(again, lambda: again.has_ended) == [1, 2, 3, 4]
    assert again.summary["reused"] == 2


def test_cancel_keeps_what_is_done(make_job, fake_backend) -> None:
    job = make_job(fake_backend("slow", 1000))
    poll_until(job, lambda: len(job.frames) >= 2)
    job.cancel()
    assert job.state == "cancelling"
    poll_until(job, lambda: job.has_ended)
    assert job.state == "cancelled" and job.error is None
    assert len(job.frames) >= 2 and job.summary["ok"] == len(job.frames)
    assert wait_for_end(job.pid, 10)


def test_a_backend_that_does_not_cancel_is_killed(make_job, fake_backend) -> None:
    clock = Clock()
    job = make_job(fake_backend("stubborn", 1000), clock)
    poll_until(job, lambda: len(job.frames) >= 1)
    job.cancel()  # what is done would be rigged, which may take long
    clock.now += 20.0
    job.poll()
    assert job.state == "cancelling"
    job.cancel(at_once=True)
    clock.now += 4.0
    job.poll()
    assert job.state == "cancelling"
    clock.now += 2.0
    job.poll()
    assert job.state == "cancelled"
    assert wait_for_end(job.pid, 10)


def test_cancel_before_it_is_ready(make_job, fake_backend) -> None:
    job = make_job(fake_backend("good"))
    job.cancel()
    assert job.state == "cancelled"
    assert wait_for_end(job.pid, 10)


def test_silence_is_noticed(make_job, fake_backend) -> None:
    clock = Clock()
    job = make_job(fake_backend("silent"), clock)
    poll_until(job, lambda: job.state == "running")
    clock.now += 29
    assert not job.is_silent
    clock.now += 2
    job.poll()
    assert job.is_silent and not job.has_ended and job.silent_seconds > 30


def test_giving_up_without_a_window(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    running = addon("api").start(photo, tmp_path / "take", backend=fake_backend("silent"))
    real = running.job.clock

    def wait_long(now) -> None:
        if now.job.state == "running":
            now.job.clock = lambda: real() + 200

    with pytest.raises(addon("errors").BackendError, match=r"sent nothing for 2\d\d s and was ended"):
        running.run(wait_long)
    assert wait_for_end(running.job.pid, 10)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("old", "Protocol 1 is not spoken"),
        ("newer", "uses protocol version 9"),
        ("missing", "im2hands is not installed"),
    ],
)
def test_a_backend_that_does_not_fit(make_job, fake_backend, behaviour: str, words: str) -> None:
    job = make_job(fake_backend(behaviour))
    poll_until(job, lambda: job.has_ended)
    assert job.state == "failed" and words in job.error.message and job.error.hint
    assert job.error.exit_code == 3
    assert wait_for_end(job.pid, 10)


def test_an_answer_that_is_an_error(make_job, fake_backend) -> None:
    job = make_job(fake_backend("refuses"))
    poll_until(job, lambda: job.has_ended)
    assert (job.error.code, job.error.exit_code, job.error.hint) == ("input", 2, "Choose another.")
    assert "is not a picture" in job.error.message


def test_one_frame_that_fails(make_job, fake_backend) -> None:
    job = make_job(fake_backend("fails"))
    poll_until(job, lambda: job.has_ended)
    assert job.state == "finished"
    assert job.frames == {1: "ok", 2: "failed", 3: "ok"} and job.notes == {2: "It was too dark."}


def test_a_python_that_is_none(addon, make_job, tmp_path: Path) -> None:
    with pytest.raises(addon("errors").BackendError, match="cannot be started"):
        make_job(str(tmp_path / "nothing"))


def test_the_python_of_blender_is_no_backend(make_job) -> None:
    job = make_job(sys.executable)
    poll_until(job, lambda: job.has_ended)
    assert "im2hands is not installed" in job.error.message


CLOSED = """
import os, sys, time
import bpy
sys.path.insert(0, sys.argv[1])
from im2hands_addon import api
running = api.start(sys.argv[2].split("|"), sys.argv[3], backend=sys.argv[4])
while running.job.state == "starting":
    running.poll()
    time.sleep(0.02)
print("PID", running.job.pid, flush=True)
time.sleep(60)
"""


def close_blender_in_a_job(tmp_path: Path, backend: str, inputs: list[Path], how: int) -> None:
    script = tmp_path / "closed.py"
    script.write_text(CLOSED, "utf-8")
    paths = "|".join(str(path) for path in inputs)
    blender = subprocess.Popen(
        [sys.executable, str(script), str(extension_zip.ROOT), paths, str(tmp_path / "take"), backend],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")},
    )  # fmt: skip
    try:
        line = ""
        while not line.startswith("PID"):
            line = blender.stdout.readline()
            assert line, "Blender ended before the job was running"
        pid = int(line.split()[1])
        assert is_alive(pid)
        blender.send_signal(how)
        assert wait_for_end(pid, 3.0), "the backend is still there 3 s after Blender was closed"
    finally:
        blender.kill()
        blender.wait()
        blender.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_blender_closed_in_the_middle(fake_backend, photo: Path, tmp_path: Path, how: int) -> None:
    close_blender_in_a_job(tmp_path, fake_backend("slow", 1000), [photo], how)


def test_blender_closed_in_the_middle_of_real_work(real_backend: str, tmp_path: Path) -> None:
    photos = sorted((extension_zip.ROOT / "backend" / "im2hands" / "assets" / "photos").glob("*.jpg"))
    assert photos
    close_blender_in_a_job(tmp_path, real_backend, photos, signal.SIGKILL)


def test_disabling_the_addon_ends_the_job(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(str(photo), tmp_path / "take", backend=fake_backend("slow", 1000))
    addon("running").follow(started)
    bpy.ops.preferences.addon_disable(module=MODULE)
    try:
        assert started.job.has_ended and wait_for_end(started.job.pid, 10)
    finally:
        bpy.ops.preferences.addon_enable(module=MODULE)


def test_loading_a_file_ends_the_job(addon, fake_backend, photo: Path, tmp_path: Path) -> None:
    started = addon("api").start(str(photo), tmp_path / "take", backend=fake_backend("slow", 1000))
    addon("running").follow(started)
    assert addon("running").is_reconstructing()
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert not addon("running").is_reconstructing()
    assert wait_for_end(started.job.pid, 10)


WITHOUT_PYTHONS_SIGNALS = """
import signal, sys, time
import bpy
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in Blender; the bpy module is a Python program, which ignores it
sys.path.insert(0, sys.argv[1])
from im2hands_addon.process.process import LineProcess
child = LineProcess([sys.executable, "-c", "pass"])
while child.return_code is None:
    time.sleep(0.01)
child.stop(b"shutdown\\n")
child._writer.join(10)
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE")
def test_a_line_for_a_dead_backend_does_not_kill_blender(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_PYTHONS_SIGNALS, str(extension_zip.ROOT)]
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["alive"]), done.stderr
