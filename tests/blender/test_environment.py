"""Finding the backend, and installing it without changing Blender's Python."""

from __future__ import annotations

import os
import signal
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


@pytest.fixture
def own_environments(addon):
    return addon("process.installed")


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


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "a\0b", "x" * 5000, "y/" * 3000])
def test_what_no_path_can_be(environment, addon, text: str) -> None:
    assert environment.python_in(text) is None
    with pytest.raises(addon("errors").InputError) as caught:
        addon("person_path").person_path(text)
    assert len(str(caught.value)) < 400
    assert addon("person_path").person_path("~") == Path.home()


def test_order(environment, own_environments, tmp_path: Path) -> None:
    named, variable, own, on_path = (make_python(tmp_path / name) for name in ("named", "variable", "own", "path"))
    make_python(tmp_path / "path", "bin/im2hands")
    variables = {"PATH": str(tmp_path / "path" / "bin"), "IM2HANDS_BACKEND": str(tmp_path / "variable")}
    find = environment.find
    assert find(str(tmp_path / "named"), tmp_path / "own", variables).python == named
    assert find("", tmp_path / "own", variables).python == variable
    del variables["IM2HANDS_BACKEND"]
    assert find("", tmp_path / "own", variables).python == on_path, "an unfinished installation does not count"
    (tmp_path / "own" / own_environments.COMPLETE).touch()
    assert find("", tmp_path / "own", variables).python == own


def test_missing_or_wrongly_named(environment, addon, tmp_path: Path) -> None:
    error = addon("errors").BackendError
    with pytest.raises(error, match=r"not installed.*Preferences"):
        environment.find("", tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(error, match=r"preferences is not there.*clear \"Backend\""):
        environment.find(str(tmp_path / "gone"), None, {})
    with pytest.raises(error, match=r"IM2HANDS_BACKEND is not there.*clear this variable"):
        environment.find("", None, {"IM2HANDS_BACKEND": str(tmp_path / "gone")})


def test_variables_of_blenders_python_do_not_reach_it(environment) -> None:
    base = {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "VIRTUAL_ENV": "/z", "PATH": "/bin", "HOME": "/home"}
    assert environment.clean_environment(base) == {"PATH": "/bin", "HOME": "/home"}


def test_a_python_that_fits(environment, addon) -> None:
    assert environment.python_version([sys.executable]) == sys.version_info[:2]
    assert environment.suitable_python(sys.executable) == Path(sys.executable)
    with pytest.raises(addon("errors").BackendError, match="does not run"):
        environment.suitable_python("/bin/false")


def half_python(folder: Path, version: str) -> Path:
    """A Python of this version without ensurepip, as Debian's package python3 is."""
    path = folder / f"python{version}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\necho {version}\n')
    path.chmod(0o755)
    return path


def test_a_python_without_ensurepip_is_named(environment, addon, tmp_path: Path, monkeypatch) -> None:
    error = addon("errors").BackendError
    half = half_python(tmp_path / "bin", "3.11")
    for given in (str(half), ""):
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        with pytest.raises(error, match=r"3\.11.*cannot make environments.*python3-venv is missing.*apt install"):
            environment.suitable_python(given)
    whole = tmp_path / "bin" / "python3"
    whole.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    whole.chmod(0o755)
    monkeypatch.setattr(environment, "SUPPORTED_PYTHONS", ((3, 11), sys.version_info[:2]))
    assert environment.suitable_python().resolve() == Path(sys.executable).resolve(), "a later one is whole"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(error, match=r"No Python .* was found"):
        environment.suitable_python()


# A fake Python that makes environments with copies of itself and records the calls of pip.
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


def working_environment(own_environments, base: Path, number: int | None) -> Path:
    """An environment from an earlier installation; without a number, one of an old add-on with a single environment."""
    folder = base if number is None else base.with_name(f"{base.name}-{number}")
    python = make_python(folder)
    if number is None:
        (folder / own_environments.COMPLETE).touch()
    else:
        own_environments.make_current(base, folder, "im2hands.whl")
    return python


def environments(base: Path) -> set[str]:
    """The names of the existing environments, complete or not."""
    return {one.name for one in base.parent.glob(f"{base.name}*") if one.is_dir()}


@pytest.mark.parametrize("cpu_build", [0, 1])
def test_installation(environment, task, tmp_path: Path, cpu_build: int) -> None:
    python, log = fake_python(tmp_path, cpu=cpu_build)
    base = tmp_path / "own 手"
    folder = tmp_path / "own 手-1"
    package, constraints = tmp_path / "im2hands.whl", tmp_path / "constraints.txt"
    started = task.installation(base, python, package, constraints, "CPU")
    run(started)
    assert started.error is None
    asked = log.read_text().splitlines()
    assert asked[0] == f"-I -m venv {folder}"
    assert "torch==2.13.0+cpu" in asked[1] and f"-c {constraints}" in asked[1]
    assert "install" in asked[2] and asked[2].endswith(" uv")
    assert "--torch-backend cpu torch==2.13.0" in asked[3]
    assert asked[4].endswith(str(package)) and "+cpu" not in asked[4]
    assert environment.find("", base, {}).python == folder / "bin/python"


def test_installation_for_the_gpu(task, tmp_path: Path) -> None:
    python, log = fake_python(tmp_path)
    run(task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", None, "GPU"))
    assert "+cpu" not in log.read_text()


def test_installation_for_an_old_card(environment, task, tmp_path: Path, monkeypatch) -> None:
    """The build is chosen by what nvidia-smi says of card and driver; the steps say why."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\ntest $# = 2 && echo 'Tesla V100, 7.0, 580.65.06'\n")
    tool.chmod(0o755)
    monkeypatch.setattr(environment.shutil, "which", lambda name, **_: str(tool) if name == "nvidia-smi" else None)
    python, log = fake_python(tmp_path, cpu=1)
    constraints = tmp_path / "constraints.txt"
    started = task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", constraints, "AUTO")
    titles = [step.title for step in started.steps]
    assert any("cu126" in title and "Tesla V100 is too old for newer CUDA" in title for title in titles)
    run(started)
    asked = log.read_text().splitlines()
    assert "torch==2.13.0+cu126" in asked[1] and f"-c {constraints} --torch-backend cu126 torch==2.13.0" in asked[3]


@pytest.mark.parametrize("number", [None, 1, 9])
def test_reinstallation_keeps_the_old_environment_until_the_new_one_works(
    environment, task, own_environments, tmp_path: Path, number: int | None
) -> None:
    base = tmp_path / "own"
    old = working_environment(own_environments, base, number)
    python, _ = fake_python(tmp_path)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    seen = set()
    while not started.has_ended:
        seen.add(environment.find("", base, {}).python)
        started.poll()
        time.sleep(0.01)
    assert seen == {old}, "it is in use during the whole installation"
    new = environment.find("", base, {}).python
    assert new == tmp_path / f"own-{(number or 0) + 1}" / "bin/python"
    assert environments(base) == {new.parents[1].name}, "the old one is deleted"


@pytest.mark.parametrize("number", [None, 2])
def test_installation_that_fails(environment, task, own_environments, tmp_path: Path, number: int | None) -> None:
    base = tmp_path / "own"
    old = working_environment(own_environments, base, number)
    python, _ = fake_python(tmp_path, pip=1)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    run(started)
    assert "Installing the backend" in started.error.message and "exit code 1" in started.error.message
    assert "Collecting im2hands" in started.error.message
    assert environment.find("", base, {}).python == old
    assert environments(base) == {old.parents[1].name}


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_installation_that_does_not_come_to_its_end(
    environment, task, own_environments, tmp_path: Path, ending: str
) -> None:
    base = tmp_path / "own"
    old = working_environment(own_environments, base, 1)
    python = tmp_path / "sleeper"
    python.write_text('#!/bin/sh\nfor word; do last=$word; done\nmkdir -p "$last/bin"\nexec sleep 60\n')
    python.chmod(0o755)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    while "own-2" not in environments(base):
        started.poll()
        time.sleep(0.01)
    assert not started.has_ended and started.title == "Creating a Python environment"
    if ending == "stopped":
        started.cancel()
        assert started.has_ended and "stopped" in started.error.message
    else:
        os.kill(started._process.pid, signal.SIGKILL)
        run(started)
        assert "failed" in started.error.message
    assert environment.find("", base, {}).python == old
    assert environments(base) == {"own-1"}


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
def test_stop_ends_what_the_command_started(environment, task, own_environments, tmp_path: Path) -> None:
    """``venv`` and ``pip`` start further programs; one that survived would fill the deleted folder again."""
    base = tmp_path / "own"
    python = tmp_path / "parent"
    python.write_text(
        '#!/bin/sh\nfor word; do last=$word; done\nmkdir -p "$last/bin"\n'
        '(while :; do mkdir -p "$last/lib"; touch "$last/lib/late"; sleep 0.05; done) &\nexec sleep 60\n'
    )
    python.chmod(0o755)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    while not (tmp_path / "own-1" / "lib" / "late").exists():
        time.sleep(0.01)
    started.cancel()
    time.sleep(0.4)
    assert environments(base) == set()


def test_the_errors_of_pip_are_told(task, tmp_path: Path) -> None:
    said = [
        "Collecting im2hands",
        "ERROR: Could not find a version that satisfies the requirement torch==2.13.0",
        "ERROR: No matching distribution found for torch==2.13.0",
        "note: this is an issue with the package",
        "hint: see above for details",
    ]
    python, _ = fake_python(tmp_path, pip=1)
    lines = "".join(f"echo '{line}' >&2; " for line in said)
    python.write_text(python.read_text().replace('echo "Collecting im2hands";', lines))
    started = task.installation(tmp_path / "own", python, tmp_path / "im2hands.whl", None, "GPU")
    run(started)
    message = started.error.message
    assert "Could not find a version" in message and "No matching distribution found for torch" in message
    assert "hint: see above" not in message
    assert task.last_words(["a", "b", "c", "d"]) == "b c d"
    assert task.last_words(["Traceback", "ImportError: libGL.so.1: cannot open", "x"]).startswith("ImportError")


def test_an_environment_in_the_old_place(environment, task, own_environments, tmp_path: Path) -> None:
    """It is in use until a new one works, and deleted then, because uninstalling would delete it without a word."""
    base, old = tmp_path / "data" / "own", tmp_path / "extension" / "backend"
    before = working_environment(own_environments, old, 1)
    assert environment.find("", base, {}, old=old).python == before
    assert "older" in environment.find("", base, {}, old=old).where
    python, _ = fake_python(tmp_path, pip=1)
    run(task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU", old=old))
    assert environment.find("", base, {}, old=old).python == before
    python, _ = fake_python(tmp_path)
    run(task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU", old=old))
    assert environment.find("", base, {}, old=old).python == tmp_path / "data" / "own-1" / "bin/python"
    assert not environments(old)


def test_installation_clears_what_a_killed_blender_left(environment, task, own_environments, tmp_path: Path) -> None:
    base = tmp_path / "own"
    old = working_environment(own_environments, base, 1)
    make_python(tmp_path / "own-2")
    make_python(tmp_path / "own-other")
    python, _ = fake_python(tmp_path)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    assert environment.find("", base, {}).python == old
    run(started)
    assert environment.find("", base, {}).python == tmp_path / "own-3" / "bin/python"
    assert environments(base) == {"own-3", "own-other"}, "a folder that is no environment stays"


def test_installation_that_cannot_be_put_in_use(environment, task, own_environments, tmp_path: Path) -> None:
    base = tmp_path / "own"
    old = working_environment(own_environments, base, None)
    (tmp_path / "own-current" / "in the way").mkdir(parents=True)
    python, _ = fake_python(tmp_path)
    started = task.installation(base, python, tmp_path / "im2hands.whl", None, "GPU")
    run(started)
    assert "Installation: " in started.error.message
    assert environment.find("", base, {}).python == old
    assert environments(base) == {"own", "own-current"}


@pytest.mark.parametrize("name", ["../elsewhere-1", "own-2", "", "other-1"])
def test_a_pointer_to_no_environment_is_ignored(own_environments, tmp_path: Path, name: str) -> None:
    base = tmp_path / "data" / "own"
    working_environment(own_environments, base, None)
    for folder in (tmp_path / "elsewhere-1", tmp_path / "data" / "other-1"):
        make_python(folder)
        (folder / own_environments.COMPLETE).touch()
    (tmp_path / "data" / "own-current").write_text(name)
    assert own_environments.current(base) == base


def test_check(task, environment, fake_backend) -> None:
    for behaviour, ok in (("good", True), ("slow", False)):
        started = task.check(environment.find(fake_backend(behaviour)))
        run(started)
        found = task.check_findings(started)
        assert [finding.ok for finding in found] == ([True] * 3 if ok else [False, False, True])
        assert "weights: part_occupancy Fetch them." in [finding.text for finding in found]


def test_check_of_something_else(task, environment, addon, fake_backend, tmp_path: Path) -> None:
    for python in (fake_backend("missing"), "/bin/echo", str(tmp_path / "gone")):
        started = task.check(environment.Found(Path(python), "here"))
        run(started)
        with pytest.raises(addon("errors").BackendError):
            task.check_findings(started)


def test_check_of_the_real_backend(task, environment, real_backend: str) -> None:
    started = task.check(environment.find(real_backend))
    end = time.monotonic() + 180
    while not started.has_ended and time.monotonic() < end:
        started.poll()
        time.sleep(0.05)
    found = task.check_findings(started)
    assert any(finding.text.startswith("torch") and finding.ok for finding in found)
    assert os.path.basename(started.steps[0].command[0]).startswith("python")  # noqa: PTH119
