"""Set-up that explains itself: what an installation will do, what to do about a failure, offline, another machine."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
import synthetic
from test_environment import environments, fake_python, run
from test_interface import PANELS, Layout, draw, draw_preferences, follow_to_the_end

from conftest import MODULE


@pytest.fixture(autouse=True)
def nothing_runs(addon):
    addon("running").stop()
    yield
    addon("running").stop()


@pytest.fixture
def own() -> object:
    return bpy.context.preferences.addons[MODULE].preferences


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ImportError: libGLESv2.so.2: cannot open shared object file: No such file", "sudo apt install libgles2."),
        ("ImportError: libGL.so.1: cannot open shared object file", "libGL is missing. On Debian or Ubuntu: sudo apt"),
        ("ImportError: libodd.so: cannot open shared object file", "libodd is missing. Install the package of your"),
        ("created successfully because ensurepip is not available.  On Debian", "python3-venv is missing"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "HTTPS_PROXY"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT"),
        ("ERROR: No matching distribution found for torch==2.13.0", "Python 3.11 to 3.13 of 64 bits"),
        ("PermissionError: [Errno 13] Permission denied: '/opt'", "You may not write there"),
        ("user@box: Permission denied (publickey,password).", "Make the ssh command work in a terminal"),
        ("ssh: Could not resolve hostname box: Name or service not known", "Make the ssh command work"),
        ("bash: line 1: im2hands: command not found", "whole path of the command"),
        ("something else", ""),
    ],
)
def test_a_failure_comes_with_advice(addon, said: str, words: str) -> None:
    advice = addon("process.advice").advice(["Collecting x", said, "note: see above"])
    assert words in advice and bool(advice) == bool(words)


def test_the_decisive_line_of_an_installation_is_told(addon, tmp_path: Path) -> None:
    """It may stand far above the last lines, and on stdout."""
    python, _ = fake_python(tmp_path)
    said = "ImportError: libGLESv2.so.2: cannot open shared object file: No such file or directory"
    noise = "; ".join(f"echo '  at line {number} of mediapipe' >&2" for number in range(20))
    text = python.read_text().replace("esac", f"*mediapipe*) echo '{said}' >&2; {noise}; exit 1 ;;\nesac")
    python.write_text(text)
    started = addon("process.task").installation(tmp_path / "own", python, tmp_path / "x.whl", None, "GPU")
    run(started)
    assert "libGLESv2.so.2" in started.error.message and "sudo apt install libgles2" in started.error.hint
    assert environments(tmp_path / "own") == set(), "a half environment is removed"


def test_an_installation_from_a_folder_of_wheels(addon, own, tmp_path: Path, monkeypatch) -> None:
    task, wheels = addon("process.task"), tmp_path / "wheels"
    wheels.mkdir()
    python, log = fake_python(tmp_path)
    with pytest.raises(addon("errors").BackendError, match=r"no wheel of PyTorch"):
        task.installation(tmp_path / "own", python, tmp_path / "x.whl", None, "CPU", wheels=wheels)
    (wheels / "torch-2.13.0-cp311-none-any.whl").touch()
    run(task.installation(tmp_path / "own", python, tmp_path / "x.whl", None, "CPU", wheels=wheels))
    asked = [line for line in log.read_text().splitlines() if "pip install" in line]
    assert len(asked) == 1 and f"--no-index --find-links {wheels}" in asked[0]
    assert not bpy.app.online_access and not bpy.ops.im2hands.install_backend.poll()
    own.wheels = str(wheels)
    assert bpy.ops.im2hands.install_backend.poll(), "nothing is downloaded"
    given, module = [], addon("operators.install_backend")
    monkeypatch.setattr(module, "task", SimpleNamespace(installation=lambda *_, **options: given.append(options)))
    monkeypatch.setattr(module, "bundled_wheel", lambda: wheels)
    monkeypatch.setattr(module.running, "follow", lambda started: None)
    monkeypatch.setattr(module.environment, "suitable_python", lambda setting: python)
    assert bpy.ops.im2hands.install_backend() == {"FINISHED"}
    assert given[0]["wheels"] == wheels


def test_what_is_done_is_told_before(addon, monkeypatch, tmp_path: Path) -> None:
    plan = addon("process.plan")
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda place: SimpleNamespace(free=1e9))
    text = " ".join(plan.told(tmp_path / "not" / "there", "GPU", None))
    assert str(tmp_path / "not" / "there") in text and "about 3 GB" in text and "Python Package Index" in text
    assert "1.0 GB are free" in text and "too little" in text
    assert "Downloads nothing" in " ".join(plan.told(tmp_path, "CPU", tmp_path / "wheels"))
    build = addon("process.torch_build").Build
    monkeypatch.setattr(plan.environment, "torch_build", lambda compute: build("cu126", "the card is old"))
    assert (plan.resolved("AUTO"), plan.resolved("CPU")) == ("GPU", "CPU")
    assert plan.why("AUTO") == "PyTorch is installed for older CUDA (cu126): the card is old."
    layout = Layout()
    stand_in = SimpleNamespace(layout=layout, _told=plan.told(tmp_path, "CPU", None))
    addon("operators.install_backend").Im2HandsInstallBackend.draw(stand_in, bpy.context)
    assert "about 0.5 GB" in " ".join(layout.seen.texts)


def test_the_sidebar_shows_the_installation(addon, own, tmp_path: Path) -> None:
    own.backend = str(tmp_path / "gone")
    assert "im2hands.install_backend" in draw(PANELS[0]).operators
    task, running = addon("process.task"), addon("running")
    code = "import sys, time; print('Collecting torch', flush=True); time.sleep(30)"
    started = task.Task("Installation", [task.Step("Installing PyTorch", [sys.executable, "-c", code])])
    running.follow(started)
    end = time.monotonic() + 30
    while not started.lines and time.monotonic() < end:
        running._tick()
        time.sleep(0.02)
    shown = draw(PANELS[0])
    assert shown.progress == ["Installing PyTorch"] and "Collecting torch" in shown.texts
    assert bpy.ops.im2hands.cancel_task() == {"FINISHED"}
    follow_to_the_end(addon, started)
    assert "Installation was stopped." in " ".join(draw(PANELS[0]).texts)


def test_the_check_shows_what_is_wrong_and_copies_all(addon, own, fake_backend) -> None:
    own.backend = fake_backend("slow")
    with pytest.raises(RuntimeError, match="Press Check first"):
        bpy.ops.im2hands.copy_findings()
    assert bpy.ops.im2hands.check_backend() == {"FINISHED"}
    follow_to_the_end(addon, addon("running").task())
    text = " ".join(draw_preferences(addon).texts)
    assert "weights: part_occupancy" in text and "1 of 3 are in order" in text and "Python: 3.12" not in text
    told, window = [], SimpleNamespace(clipboard="")
    stand_in = SimpleNamespace(report=lambda *words: told.append(words))
    addon("operators.copy_findings").Im2HandsCopyFindings.execute(stand_in, SimpleNamespace(window_manager=window))
    assert "WRONG weights" in window.clipboard and "ok    Python: 3.12" in window.clipboard


# --- another machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch) -> Path:
    """A program "ssh" that plays another machine: there, /there is the shared folder."""
    here = Path(__file__).parent
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\n[ "$1" = box ] || {{ echo "ssh: Could not resolve hostname $1" >&2; exit 255; }}\n'
        f'echo "$@" >> "{tmp_path}/asked.txt"\nshift 2\n'
        f'exec sed -u "s#/there#{tmp_path}/shared#g" | "{sys.executable}" -I "{here}/fake_server.py" good 2 "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "shared"


def test_a_backend_on_another_machine(addon, own, machine: Path, tmp_path: Path) -> None:
    synthetic.write_png(machine / "photo.png", synthetic.picture(64, 48))
    own.machine, own.shared_here, own.shared_there = "ssh box /opt/bin/im2hands", str(machine), "/there"
    assert "on another machine" in " ".join(draw(PANELS[0]).texts)
    result = addon("api").reconstruct(machine / "photo.png", machine / "take")
    assert len(result.collection.all_objects) and (machine / "take" / "take.json").is_file()
    assert (tmp_path / "asked.txt").read_text() == "box /opt/bin/im2hands serve\n"
    synthetic.write_png(tmp_path / "photo.png", synthetic.picture(64, 48))
    with pytest.raises(addon("errors").InputError, match="does not lie in"):
        addon("api").start(tmp_path / "photo.png", machine / "two")
    with pytest.raises(addon("errors").InputError, match="does not lie in"):
        addon("api").start(machine / "photo.png", machine / "two", camera=str(tmp_path / "camera.json"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ssh elsewhere im2hands", "Make the ssh command work"),
        ("no-such-program box im2hands", "no program no-such-program"),
        ('ssh "box', "quotation marks"),
    ],
)
def test_a_machine_that_does_not_answer(addon, own, machine: Path, command: str, words: str) -> None:
    synthetic.write_png(machine / "photo.png", synthetic.picture(64, 48))
    own.machine = command
    with pytest.raises(addon("errors").BackendError) as caught:
        addon("api").reconstruct(machine / "photo.png", machine / "take")
    assert words in str(caught.value)


def test_paths_on_another_machine(addon) -> None:
    shared = addon("process.other_machine").SharedFolder
    assert shared().path_there("/a/b") == "/a/b"
    assert shared("/mnt/z", "Z:\\shots").path_there("/mnt/z/a/b.mp4") == "Z:\\shots\\a\\b.mp4"
    assert shared("/mnt/z", "/vol/z/").path_there(Path("/mnt/z/a")) == "/vol/z/a"
    assert shared("/mnt/z").path_there("/mnt/z/a") == "/mnt/z/a"
