"""Finds the backend's Python environment, and Pythons from which an environment can be made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import BackendError, InputError
from ..person_path import person_path
from . import installed
from .other_machine import command_of
from .torch_build import QUERY, Build, Card, build_for, read_cards

VARIABLE = "IM2HANDS_BACKEND"
"""The environment variable that names the backend."""
SUPPORTED_PYTHONS = ((3, 11), (3, 12), (3, 13))
_HINT = 'Install the backend in Preferences > Add-ons > Im2Hands, or name its environment under "Backend" there.'
_NAMED_HINT = 'Correct or clear "Backend" or "Command" in Preferences > Add-ons > Im2Hands.'


@dataclass(frozen=True)
class Found:
    """The backend that was found.

    Parameters
    ----------
    python : Path
        The backend's Python; of a command, its program.
    where : str
        How it was found, for the person.
    command : tuple of str
        The command that starts it on another machine; empty for a Python of this one.
    """

    python: Path
    where: str
    command: tuple[str, ...] = ()

    def start(self, *arguments: str) -> list[str]:
        """Return the command that starts the backend, with its arguments, such as ``serve``."""
        return [*(self.command or (str(self.python), "-I", "-m", "im2hands")), *arguments]

    @property
    def name(self) -> str:
        """What is started, for the person."""
        return " ".join(self.command) or str(self.python)


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables without those by which Blender's Python would affect another Python.

    Parameters
    ----------
    base : mapping of str to str, optional
        The variables; None for those of this process.

    Returns
    -------
    dict
        The variables without PYTHON*, VIRTUAL_ENV and __PYVENV*.
    """
    variables = os.environ if base is None else base
    dropped = ("PYTHON", "VIRTUAL_ENV", "__PYVENV")
    return {name: value for name, value in variables.items() if not name.upper().startswith(dropped)}


def python_in(path: str | Path) -> Path | None:
    """Return the Python that a path stands for.

    Parameters
    ----------
    path : str or Path
        A Python, the folder of an environment, or the command ``im2hands`` of an environment.

    Returns
    -------
    Path or None
        The Python's absolute path; None when there is none.
    """
    try:
        path = person_path(path)
    except InputError:  # no path can be written like this
        return None
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


def is_named(setting: str, variables: Mapping[str, str] | None = None) -> bool:
    """Return whether a backend is named, so that :func:`find` looks nowhere else.

    Parameters
    ----------
    setting : str
        The backend that the preferences name; "" for none.
    variables : mapping of str to str, optional
        The environment variables; None for those of this process.

    Returns
    -------
    bool
        True if the preferences or the environment variable name one, be it there or not.
    """
    return bool(setting or (os.environ if variables is None else variables).get(VARIABLE))


def find(
    setting: str = "", own: Path | None = None, variables: Mapping[str, str] | None = None, *, old: Path | None = None
) -> Found:
    """Find the backend.

    The order is: the preferences, the environment variable, the add-on's own environment, that of an older add-on,
    ``im2hands`` on PATH.

    Parameters
    ----------
    setting : str
        The backend that the preferences name, or the command that starts it on another machine; "" for none.
    own : Path, optional
        The path with which the names of the add-on's own environments begin (see ``installed``); None to skip them.
    variables : mapping of str to str, optional
        The environment variables; None for those of this process.
    old : Path, optional
        As ``own``, for the place of older add-ons; None to skip it.

    Returns
    -------
    Found
        The backend's Python, and how it was found.

    Raises
    ------
    BackendError
        There is no backend, or there is no Python at the place that was named.
    """
    variables = os.environ if variables is None else variables
    by_variable = (f"by the variable {VARIABLE}", variables.get(VARIABLE, ""), "Correct or clear this variable.")
    for where, value, hint in (("in the preferences", setting, _NAMED_HINT), by_variable):
        if not value:
            continue
        python = python_in(value)
        if python is None and _is_command(value):
            command = command_of(value)
            return Found(Path(command[0]), f"on another machine ({value})", command)
        if python is None:
            raise BackendError(f"The backend named {where} is not there: no Python at {value}.", hint)
        return Found(python, f"named {where}")
    for base, where in ((own, "installed by the add-on"), (old, "installed by an older add-on")):
        folder = installed.current(base) if base is not None else None
        python = python_in(folder) if folder is not None else None
        if python is not None:
            return Found(python, where)
    command = shutil.which("im2hands", path=variables.get("PATH"))
    python = python_in(Path(command).resolve()) if command else None
    if python is not None:
        return Found(python, "found on PATH")
    raise BackendError("The backend is not installed.", _HINT)


def _is_command(text: str) -> bool:
    """Whether a text is meant as a command and not as a path: several words, the first of them a program."""
    words = text.split()
    return len(words) > 1 and (not re.search(r"[\\/]", words[0]) or shutil.which(words[0]) is not None)


def suitable_python(given: str = "") -> Path:
    """Find a Python 3.11 to 3.13 from which an environment can be made.

    Parameters
    ----------
    given : str
        The person's choice; "" to search on PATH and, on Windows, with the ``py`` launcher.

    Returns
    -------
    Path
        The Python.

    Raises
    ------
    BackendError
        None was found, or the given one cannot be used.
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
        if not can_make_environments([str(python)]):
            raise _incomplete([(str(python), version)])
        return python
    incomplete = []
    for command in _candidates():
        version = python_version(command)
        if version in SUPPORTED_PYTHONS:
            if can_make_environments(command):
                return _executable(command)
            incomplete.append((" ".join(command), version))
    if incomplete:
        raise _incomplete(incomplete)
    raise BackendError(
        f"No Python {wanted} was found.", "Install one from python.org and try again, or choose one below."
    )


def _incomplete(found: list[tuple[str, tuple[int, int]]]) -> BackendError:
    """The error for Pythons of the right version that cannot make an environment."""
    command, (major, minor) = found[0]
    return BackendError(
        f"{command} is Python {major}.{minor}, but it cannot make environments: its modules venv and ensurepip are not "
        "installed.",
        f"python3-venv is missing. On Debian or Ubuntu: sudo apt install python3-venv python{major}.{minor}-venv. "
        "Elsewhere: install Python from python.org.",
    )


def _candidates() -> list[list[str]]:
    """The commands that may start a suitable Python."""
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED_PYTHONS] + ["python3", "python"]
    commands = [[path] for name in names if (path := shutil.which(name))]
    launcher = shutil.which("py")
    if launcher:
        commands += [[launcher, f"-{major}.{minor}"] for major, minor in SUPPORTED_PYTHONS]
    return commands


def _ask(command: list[str], code: str) -> str:
    """The output of a piece of Python code run by another Python; "" when it fails."""
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
    """Return the version of a Python.

    Parameters
    ----------
    command : list of str
        The command that starts it.

    Returns
    -------
    tuple of int, or None
        Major and minor version. None when it does not run.
    """
    answer = _ask(command, "import sys; print('%d.%d' % sys.version_info[:2])")
    match = re.fullmatch(r"(\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else None


def can_make_environments(command: list[str]) -> bool:
    """Return whether a Python has what makes an environment; Debian leaves it out of the package ``python3``.

    Parameters
    ----------
    command : list of str
        The command that starts it.

    Returns
    -------
    bool
        True if its modules ``venv`` and ``ensurepip`` can be imported.
    """
    return _ask(command, "import venv, ensurepip; print('yes')") == "yes"


def _executable(command: list[str]) -> Path:
    """The file of the Python that a command, such as ``py -3.12``, starts."""
    return Path(_ask(command, "import sys; print(sys.executable)") or command[0])


def torch_build(compute: str) -> Build:
    """Choose the build of PyTorch for this machine.

    Parameters
    ----------
    compute : {"AUTO", "CPU", "GPU"}
        The person's choice. "GPU" takes the newest build for NVIDIA cards where the card is not known to need another.

    Returns
    -------
    Build
        The build.
    """
    if compute == "CPU" or sys.platform == "darwin":
        return Build("cpu")
    build = build_for(_nvidia_cards())
    return Build("cu130") if compute == "GPU" and build.backend == "cpu" else build


def _nvidia_cards() -> list[Card]:
    """The NVIDIA cards of this machine, where their driver works."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        done = subprocess.run(
            [tool, *QUERY], capture_output=True, text=True, timeout=20, check=False, **hidden_window()
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return read_cards(done.stdout) if done.returncode == 0 else []


def hidden_window() -> dict[str, int]:
    """Arguments of ``subprocess`` that keep Windows from opening a console for a child process."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


def own_group() -> dict[str, int | bool]:
    """As :func:`hidden_window`; in addition, a Ctrl-C in Blender's terminal does not reach the child process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
