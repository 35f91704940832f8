"""File names that are not UTF-8, which Linux allows, from the request to the add-on's reader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fakes import Client, FakeParts, picture, write_clip, write_picture
from im2hands.app.cli import main as cli
from im2hands.core.files import json_bytes
from im2hands.job.events import FrameDone, Warned
from im2hands.media.camera_choice import CameraChoice
from im2hands.surfaces.load import load_reconstructor
from im2hands.take.take import Take
from im2hands.weights.folder import BUNDLED
from simulated_takes import simulate, write_take

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have only text as file names")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture whose name and folder are not UTF-8."""
    return write_picture(tmp_path / os.fsdecode(b"shots_\xfe") / os.fsdecode(b"photo_\xff.png"), picture())


def test_job_to_the_addon(
    photo: Path, tmp_path: Path, run_job: Callable[..., Any], addon_reader: types.ModuleType
) -> None:
    output = tmp_path / os.fsdecode(b"take_\xfd")
    finished, events = run_job(photo, output)
    assert finished.summary.ok == 1
    taken = addon_reader.read_take(output)
    assert taken.files == (str(photo),)
    assert taken.records[1].image == str(photo)
    assert Path(taken.records[1].image).is_file()
    (done,) = (event for event in events if isinstance(event, FrameDone))
    assert json.loads(done.to_line("j").decode("utf-8"))["take"] == str(output)
    assert (output / "take.json").read_bytes().decode("utf-8")
    assert Take.open(output).header["source"]["inputs"] == [str(photo)]
    assert run_job(photo, output)[0].summary.reused == 1


def test_a_damaged_picture_is_told_of(photo: Path, run_job: Callable[..., Any], tmp_path: Path) -> None:
    write_picture(photo.parent / "whole.png", picture(number=1))
    photo.write_bytes(b"no picture")
    finished, _ = run_job([photo.parent / "whole.png", photo])
    assert finished.summary.failed == 1
    assert photo.name in Take.open(tmp_path / "take").records[2].message


def test_messages_come_back_as_they_were(photo: Path) -> None:
    line = Warned(f"Cannot read {photo}.").to_line(None)
    assert json.loads(line.decode("utf-8"))["message"] == f"Cannot read {photo}."
    assert json_bytes({"täke": "手"}) == '{"täke": "手"}'.encode()


def test_command_line(photo: Path, tmp_path: Path, keypoint_job: dict[str, Any]) -> None:
    output = tmp_path / os.fsdecode(b"take_\xfd")
    more = ["--keypoints", keypoint_job["options"]["keypoints"], "--voxel-mm", "8", "--device", "cpu"]
    assert cli.main(["reconstruct", str(photo), "-o", str(output), *more, "--template-density", "0"]) == 0
    assert Take.open(output).records[1].status == "ok"
    assert cli.main(["export", str(output), "--to", "glb"]) == 0
    assert cli.main(["clean", str(output), "--template-density", "0", "--smoothing", "0"]) == 0


def test_server(photo: Path, tmp_path: Path) -> None:
    output = tmp_path / os.fsdecode(b"take_\xfd")
    client = Client(FakeParts())
    client.send("reconstruct", "j", inputs=[str(photo)], output=str(output))
    finished = client.until("finished", "error")[-1]
    assert finished["take"] == str(output)
    assert finished["summary"]["ok"] == 1
    client.send("reconstruct", "k", inputs=[str(photo) + "?*"], output=str(output))
    assert photo.name in client.until("finished", "error")[-1]["message"]
    client.end_requests()
    client.thread.join(20)


def test_clip_and_pattern(photo: Path, run_job: Callable[..., Any], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 3).rename(photo.with_name(os.fsdecode(b"clip_\xff.avi")))
    assert run_job(clip)[0].summary.ok == 3
    assert run_job(photo.with_name("photo_*.png"), tmp_path / "second")[0].summary.ok == 1


def test_weights_and_camera(photo: Path) -> None:
    folder = photo.parent / os.fsdecode(b"weights_\xff")
    shutil.copytree(BUNDLED, folder)
    assert load_reconstructor(str(folder), device=torch.device("cpu"), voxel_m=0.008).provenance["stage"] == "refined"
    camera = photo.with_name(os.fsdecode(b"camera_\xff.json"))
    camera.write_text('{"fx": 200, "fy": 200, "cx": 79.5, "cy": 59.5}')
    assert CameraChoice.from_options(str(camera), None, None).file is not None


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_lines_do_not_depend_on_the_console(photo: Path, tmp_path: Path, encoding: str) -> None:
    output = tmp_path / (os.fsdecode(b"take_\xfd") + "_ä手")
    write_take(output, simulate(1, seed=3))
    state = str(tmp_path / os.fsdecode(b"state_\xff"))
    settings = {"PYTHONIOENCODING": f"{encoding}:strict", "IM2HANDS_STATE": state}
    lines = (["clean", str(output), "--json"], ["reconstruct", f"{photo}?", "-o", str(output), "--json"])
    for command in (*lines, ["check", "--json", "--no-self-test"], ["weights", "list", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "im2hands", *command],
            env={**os.environ, **settings}, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        text = done.stdout.decode("utf-8")
        assert [json.loads(line) for line in text.splitlines()] if command in lines else json.loads(text)
        assert b"Traceback" not in done.stderr
        assert b"UnicodeEncodeError" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_paths_that_standard_output_cannot_encode_are_printed_as_escapes(tmp_path: Path, encoding: str) -> None:
    name = os.fsdecode(b"take_\xfd") + "_ä手"
    write_take(tmp_path / name, simulate(1, seed=3))
    settings = {"PYTHONIOENCODING": f"{encoding}:strict", "IM2HANDS_STATE": str(tmp_path / "state")}
    for arguments in (["export", name, "--to", "glb"], ["export", f"{name}_missing", "--to", "glb"]):
        done = subprocess.run(
            [sys.executable, "-m", "im2hands", *arguments],
            cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, timeout=60,
        )  # fmt: skip
        printed = done.stdout if "missing" not in arguments[1] else done.stderr
        assert name.encode(encoding, errors="backslashreplace") in printed
        assert b"\\udcfd" in printed
        assert b"UnicodeEncodeError" not in done.stderr
        assert done.returncode == (2 if "missing" in arguments[1] else 0)
