"""Finds the Python environment that the backend lives in, and the Pythons one could be made with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import BackendError
from . import installed

VARIABLE = "IM2HANDS_BACKEND"
SUPPORTED_PYTHONS = ((3, 11), (3, 12), (3, 13))
_HINT = 'Install the backend in Preferences > Add-ons > Im2Hands, or name its environment under "Backend" there.'


@dataclass(frozen=True)
class Found:
    """The backend's Python, and where it was found, in words for a person."""

    python: Path
    where: str


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables without those by which Blender's own Python would reach into another one."""
    variables = os.environ if base is None else base
    dropped = ("PYTHON", "VIRTUAL_ENV", "__PYVENV")
    return {name: value for name, value in variables.items() if not name.upper().startswith(dropped)}


def python_in(path: str | Path) -> Path | None:
    """The Python that ``path`` names: an executable, a venv's folder, or a venv's ``im2hands``; None for neither."""
    path = Path(path).expanduser()
    if path.is_file():
        if path.stem.lower() == "im2hands":
            return python_in(path.parent)
        return path.absolute()
    names = (
        ("python.exe", "Scripts/python.exe")
        if sys.platform == "win32"
        else ("python", "bin/python", "python3", "bin/python3")
    )
    return next(((path / name).absolute() for name in names if (path / name).is_file()), None)


def find(setting: str = "", own: Path | None = None, variables: Mapping[str, str] | None = None) -> Found:
    """The backend's Python: the preference's, the environment variable's, the add-on's own, or PATH's, in that order.

    Args:
        setting: the preference, "" for automatic.
        own: the path that the names of the add-on's own environments begin with (see :mod:`.installed`), or None.

    Raises:
        BackendError: there is none, or the one that was named is not one.
    """
    variables = os.environ if variables is None else variables
    named = (("in the preferences", setting), (f"by the variable {VARIABLE}", variables.get(VARIABLE, "")))
    for where, value in named:
        if not value:
            continue
        python = python_in(value)
        if python is None:
            raise BackendError(f"The backend named {where} is not there: no Python at {value}.", _HINT)
        return Found(python, f"named {where}")
    folder = installed.current(own) if own is not None else None
    python = python_in(folder) if folder is not None else None
    if python is not None:
        return Found(python, "installed by the add-on")
    command = shutil.which("im2hands", path=variables.get("PATH"))
    python = python_in(Path(command).resolve()) if command else None
    if python is not None:
        return Found(python, "found on PATH")
    raise BackendError("The backend is not installed.", _HINT)


def suitable_python(given: str = "") -> Path:
    """A Python 3.11 to 3.13 from which an environment can be made, never Blender's own.

    Args:
        given: a person's choice, "" to look on PATH and, on Windows, with the ``py`` launcher.

    Raises:
        BackendError: none was found, or the given one does not fit.
    """
    wanted = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS)
    if given:
        python = python_in(given)
        if python is None:
            raise BackendError(f"There is no Python at {given}.", "Choose the python executable.")
        version = python_version([str(python)])
        if version not in SUPPORTED_PYTHONS:
            said = f"is Python {version[0]}.{version[1]}" if version else "does not run"
            raise BackendError(f"{python} {said}; the backend needs {wanted}.", "Install one from python.org.")
        return python
    for command in _candidates():
        if python_version(command) in SUPPORTED_PYTHONS:
            return _executable(command)
    raise BackendError(
        f"No Python {wanted} was found.", "Install one from python.org, then try again, or name it below."
    )


def _candidates() -> list[list[str]]:
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED_PYTHONS] + ["python3", "python"]
    commands = [[path] for name in names if (path := shutil.which(name))]
    launcher = shutil.which("py")
    if launcher:
        commands += [[launcher, f"-{major}.{minor}"] for major, minor in SUPPORTED_PYTHONS]
    return commands


def _ask(command: list[str], code: str) -> str:
    try:
        done = subprocess.run(
            [*command, "-I", "-c", code],
            capture_output=True,
            text=True,
            timeout=20,
            env=clean_environment(),
            check=False,
            **hidden_window(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def python_version(command: list[str]) -> tuple[int, int] | None:
    """Version (major, minor) of the Python that ``command`` starts; None when it does not run or makes no venv."""
    answer = _ask(command, "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])")
    match = re.fullmatch(r"(\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else None


def _executable(command: list[str]) -> Path:
    return Path(_ask(command, "import sys; print(sys.executable)") or command[0])


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver answers on this machine."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False, **hidden_window())
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout


def hidden_window() -> dict[str, int]:
    """Arguments that keep Windows from opening a console for a child process."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


def own_group() -> dict[str, int | bool]:
    """Arguments that keep a Ctrl-C in Blender's terminal from a child process, and Windows from opening a console."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
