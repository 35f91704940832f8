"""Finding the backend, and installing it without touching Blender's Python."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def environment(addon):
    return addon("process.environment")


@pytest.fixture
def task(addon):
    return addon("process.task")


def make_python(folder: Path, name: str = "bin/python") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def run(started) -> None:
    end = time.monotonic() + 60
    while not started.has_ended:
        assert time.monotonic() < end
        started.poll()
        time.sleep(0.01)


def test_a_folder_or_an_executable(environment, tmp_path: Path) -> None:
    python = make_python(tmp_path / "mit Leerzeichen 手")
    assert environment.python_in(tmp_path / "mit Leerzeichen 手") == python
    assert environment.python_in(python) == python
    command = make_python(tmp_path / "mit Leerzeichen 手", "bin/im2hands")
    assert environment.python_in(command) == python
    assert environment.python_in(tmp_path / "nothing") is None


def test_order(environment, tmp_path: Path) -> None:
    named, variable, own, on_path = (make_python(tmp_path / name) for name in ("named", "variable", "own", "path"))
    make_python(tmp_path / "path", "bin/im2hands")
    variables = {"PATH": str(tmp_path / "path" / "bin"), "IM2HANDS_BACKEND": str(tmp_path / "variable")}
    find = environment.find
    assert find(str(tmp_path / "named"), tmp_path / "own", variables).python == named
    assert find("", tmp_path / "own", variables).python == variable
    del variables["IM2HANDS_BACKEND"]
    assert find("", tmp_path / "own", variables).python == on_path, "an unfinished installation does not count"
    (tmp_path / "own" / environment.COMPLETE).touch()
    assert find("", tmp_path / "own", variables).python == own


def test_missing_or_wrongly_named(environment, addon, tmp_path: Path) -> None:
    error = addon("errors").BackendError
    with pytest.raises(error, match=r"not installed.*Preferences"):
        environment.find("", tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(error, match="preferences is not there"):
        environment.find(str(tmp_path / "gone"), None, {})
    with pytest.raises(error, match="IM2HANDS_BACKEND is not there"):
        environment.find("", None, {"IM2HANDS_BACKEND": str(tmp_path / "gone")})


def test_variables_of_blenders_python_do_not_reach_it(environment) -> None:
    base = {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "VIRTUAL_ENV": "/z", "PATH": "/bin", "HOME": "/home"}
    assert environment.clean_environment(base) == {"PATH": "/bin", "HOME": "/home"}


def test_a_python_that_fits(environment, addon) -> None:
    assert environment.python_version([sys.executable]) == sys.version_info[:2]
    assert environment.suitable_python(sys.executable) == Path(sys.executable)
    with pytest.raises(addon("errors").BackendError, match="does not run"):
        environment.suitable_python("/bin/false")


# A Python that makes environments of itself and writes down what pip was asked for.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >> "{log}"
for word; do last=$word; done
case "$*" in
*" venv "*) mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
*"+cpu"*) echo "no such build" >&2; exit {cpu} ;;
*"pip install"*) echo "Collecting im2hands"; exit {pip} ;;
esac
"""


def fake_python(folder: Path, cpu: int = 0, pip: int = 0) -> tuple[Path, Path]:
    log, python = folder / "log.txt", folder / "fake-python"
    python.write_text(FAKE_PYTHON.format(log=log, cpu=cpu, pip=pip))
    python.chmod(0o755)
    return python, log


@pytest.mark.parametrize("cpu_build", [0, 1])
def test_installation(environment, task, tmp_path: Path, cpu_build: int) -> None:
    python, log = fake_python(tmp_path, cpu=cpu_build)
    folder = tmp_path / "own 手"
    make_python(folder, "bin/old")
    package, constraints = tmp_path / "im2hands.whl", tmp_path / "constraints.txt"
    started = task.installation(folder, python, package, constraints, "CPU")
    assert not (folder / "bin/old").exists(), "what was there is replaced"
    run(started)
    assert started.error is None
    asked = log.read_text().splitlines()
    assert asked[0] == f"-I -m venv {folder}"
    assert "torch==2.13.0+cpu" in asked[1] and f"-c {constraints}" in asked[1]
    assert "install" in asked[2] and asked[2].endswith(" uv")
    assert "--torch-backend cpu torch==2.13.0" in asked[3]
    assert asked[4].endswith(str(package)) and "+cpu" not in asked[4]
    assert environment.find("", folder, {}).python == folder / "bin/python"


def test_installation_for_the_gpu(task, tmp_path: Path) -> None:
    python, log = fake_python(tmp_path)
    run(task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", None, "GPU"))
    assert "+cpu" not in log.read_text()


def test_installation_that_fails(environment, task, tmp_path: Path) -> None:
    python, _ = fake_python(tmp_path, pip=1)
    started = task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", None, "GPU")
    run(started)
    assert "Installing the backend" in started.error.message and "exit code 1" in started.error.message
    assert "Collecting im2hands" in started.error.message
    assert not (tmp_path / "own" / environment.COMPLETE).exists()


def test_installation_that_is_stopped(task, tmp_path: Path) -> None:
    python = tmp_path / "sleeper"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    started = task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", None, "GPU")
    started.poll()
    assert not started.has_ended and started.title == "Making a Python environment"
    started.cancel()
    assert started.has_ended and "stopped" in started.error.message


def test_check(task, fake_backend) -> None:
    for behaviour, ok in (("good", True), ("slow", False)):
        started = task.check(Path(fake_backend(behaviour)))
        run(started)
        found = task.check_findings(started)
        assert [finding.ok for finding in found] == ([True] * 3 if ok else [False, False, True])
        assert "weights: part_occupancy Fetch them." in [finding.text for finding in found]


def test_check_of_something_else(task, addon, fake_backend, tmp_path: Path) -> None:
    for python in (fake_backend("missing"), "/bin/echo", str(tmp_path / "gone")):
        started = task.check(Path(python))
        run(started)
        with pytest.raises(addon("errors").BackendError):
            task.check_findings(started)


def test_check_of_the_real_backend(task, environment, real_backend: str) -> None:
    started = task.check(environment.python_in(real_backend))
    end = time.monotonic() + 180
    while not started.has_ended and time.monotonic() < end:
        started.poll()
        time.sleep(0.05)
    found = task.check_findings(started)
    assert any(finding.text.startswith("torch") and finding.ok for finding in found)
    assert os.path.basename(started.steps[0].command[0]).startswith("python")  # noqa: PTH119
