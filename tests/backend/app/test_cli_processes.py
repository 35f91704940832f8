"""The command line in processes of its own with the real components: JSON lines, kill -9, Ctrl-C, a large photo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from im2hands.app.selftest import bundled_photo
from im2hands.take.take import Take

COARSE = ["--voxel-mm", "8", "--device", "cpu", "--no-clean"]

LOADED_SECONDS = 15.0
"""Limit for what takes two seconds on an idle machine."""


def command(keypoint_job: dict[str, Any], output: Path, *more: str) -> list[str]:
    keypoints = keypoint_job["options"]["keypoints"]
    return ["reconstruct", *keypoint_job["inputs"], "-o", str(output), "--keypoints", keypoints, *COARSE, *more]


def start(tmp_path: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    # One thread, because processes with more threads than cores mostly wait for each other.
    own = {"IM2HANDS_STATE": str(tmp_path / "state"), "SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"}
    environment, pipe = {**os.environ, **own}, subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "im2hands", *arguments], stdout=pipe, stderr=pipe, env=environment)


def events(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def finish(tmp_path: Path, arguments: list[str], code: int = 0) -> str:
    process = start(tmp_path, arguments)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors.decode()
    return output.decode() + errors.decode()


def contents(take: Path) -> dict[str, bytes]:
    files = [path for path in take.rglob("*") if path.is_file() and "cache" not in path.relative_to(take).parts]
    return {str(path.relative_to(take)): path.read_bytes() for path in files if not path.name.startswith(".")}


def test_help_is_quick(tmp_path: Path) -> None:
    text = finish(tmp_path, ["--help"])
    heavy = "{'torch', 'mediapipe', 'cv2', 'scipy', 'trimesh'} & set(sys.modules)"
    code = f"import sys; from im2hands.app.cli.main import main; main(['--help']); sys.exit(str({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == "set()", "what is heavy is imported when it is used"
    for word in ("reconstruct", "serve", "check", "export", "train", "evaluate", "weights", "benchmark"):
        assert word in text


@pytest.mark.parametrize("module", ["app.cli.main", "core.errors", "app.cli.reconstruct", "app.logs"])
def test_ctrl_c_while_modules_are_loaded(tmp_path: Path, module: str) -> None:
    code = """
import sys
from im2hands.__main__ import entry
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == stopped_at:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
stopped_at = "im2hands." + sys.argv.pop(1)
sys.exit(entry())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, module, "weights", "list"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "im2hands: stopped.\n")


def test_json_lines(tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    process = start(tmp_path, command(keypoint_job, tmp_path / "take", "--json", "--frames", "1-2"))
    told = list(events(process))
    assert process.wait(60) == 0
    assert {event["id"] for event in told} == {None}
    assert [event["index"] for event in told if event["type"] == "frame"] == [1, 2]
    assert told[-1]["type"] == "finished"
    process = start(tmp_path, ["reconstruct", "none.jpg", "-o", str(tmp_path / "t"), "--json"])
    last = list(events(process))[-1]
    assert process.wait(60) == 2
    assert (last["type"], last["code"]) == ("error", "input")


def test_killed_in_the_middle_and_resumed_gives_the_same_bytes(tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    finish(tmp_path, command(keypoint_job, tmp_path / "whole"))
    process = start(tmp_path, command(keypoint_job, tmp_path / "cut", "--json"))
    for event in events(process):
        if event["type"] == "frame" and event["index"] == 2:
            process.kill()
            break
    process.wait()
    assert 2 <= len(Take.open(tmp_path / "cut").records) < 5
    text = finish(tmp_path, command(keypoint_job, tmp_path / "cut", "--resume"))
    assert "5 with both hands" in text
    assert "from before" in text
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_clip_killed_while_hands_are_found_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    photo = cv2.imread(str(bundled_photo()))
    photo = cv2.resize(photo, (640, round(640 * photo.shape[0] / photo.shape[1]) // 2 * 2))
    writer = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (photo.shape[1], photo.shape[0])
    )
    for number in range(4):
        writer.write(np.roll(photo, 4 * number, axis=1))
    writer.release()
    arguments = ["reconstruct", str(tmp_path / "clip.avi"), *COARSE]
    finish(tmp_path, [*arguments, "-o", str(tmp_path / "whole")])
    process = start(tmp_path, [*arguments, "-o", str(tmp_path / "cut"), "--json"])
    for event in events(process):
        if event["type"] == "progress" and event["phase"] == "keypoints" and event["done"] == 2:
            process.kill()
            break
    process.wait()
    assert Take.open(tmp_path / "cut").records == {}
    finish(tmp_path, [*arguments, "-o", str(tmp_path / "cut"), "--resume"])
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert len(Take.open(tmp_path / "cut").records) == 4


def test_ctrl_c_ends_within_two_seconds_and_keeps_what_is_done(tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    arguments = command(keypoint_job, tmp_path / "take", "--json")
    arguments[arguments.index("8")] = "1"
    process = start(tmp_path, arguments)
    for event in events(process):
        if event["type"] == "progress" and event["phase"] == "surfaces":
            break
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = list(events(process))
    assert process.wait(10) == 130
    assert time.monotonic() - began < LOADED_SECONDS
    assert rest[-1]["type"] == "finished"
    assert rest[-1]["cancelled"] is True
    assert len(Take.open(tmp_path / "take").records) == rest[-1]["summary"]["total"]


def test_large_photo_with_the_real_parts(tmp_path: Path) -> None:
    photo = Image.open(bundled_photo()).resize((8000, 6000))
    photo.save(tmp_path / "large.jpg", quality=70)
    arguments = ["reconstruct", str(tmp_path / "large.jpg"), "-o", str(tmp_path / "take"), *COARSE]
    finish(tmp_path, arguments)
    take = Take.open(tmp_path / "take")
    assert take.header["image_size"] == [8000, 6000]
    assert take.records[1].status in ("ok", "partial", "empty")
