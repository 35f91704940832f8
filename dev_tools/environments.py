"""The virtual environments under .venv.

Each environment has a stamp file that records what it was made from. While the stamp is current the environment is
reused; otherwise it is updated in place or recreated.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dev_tools.choices import (
    Bpy,
    DevError,
    Interpreter,
    choose_backend_python,
    dotted,
    pinned,
    resolve_torch,
    torch_attempts,
)
from dev_tools.machine import nvidia_cards, other_pythons, probe, running_interpreter
from dev_tools.processes import ROOT, Command, ask, must, run, say, step

ENVIRONMENTS = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints"
STAMP = "dev-stamp.json"
"""Name of the stamp file in an environment's folder."""

RECIPE = 1
"""Version of the way environments are made. Raise it after a change: every environment is then updated."""

LIBRARIES = (
    "libx11-6 libxext6 libxfixes3 libxi6 libxrender1 libxxf86vm1 libsm6 libice6 libgl1 libegl1 libgles2 libxkbcommon0 "
    "libgomp1 libglib2.0-0"
)
"""Debian packages that bpy, MediaPipe and OpenCV need and that a bare system lacks (`.ci/run` installs them too)."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment under .venv.

    Parameters
    ----------
    name : str
        Name of its folder and of its constraints file.
    python : Interpreter
        Interpreter that it is made from.
    inputs : tuple of Path
        Files besides the constraints whose changes make an update necessary.
    flavour : str
        Torch build, "cpu", "cu130" or "cu126"; empty if there is no torch.
    """

    name: str
    python: Interpreter
    inputs: tuple[Path, ...]
    flavour: str = ""

    @property
    def folder(self) -> Path:
        """Folder of the environment."""
        return ENVIRONMENTS / self.name

    @property
    def executable(self) -> Path:
        """Python of the environment."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def constraints(self) -> Path:
        """Constraints file of the environment."""
        return CONSTRAINTS / f"{self.name}.txt"

    def stamp(self) -> dict[str, str]:
        """Return the stamp of an up-to-date environment: a hash of its inputs, its Python version and its flavour."""
        digest = hashlib.sha256(f"{RECIPE}".encode())
        for path in (self.constraints, *self.inputs):
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
        return {"inputs": digest.hexdigest(), "python": dotted(self.python.version), "flavour": self.flavour}


def read_stamp(folder: Path) -> dict[str, str]:
    """Read the stamp in an environment's folder; empty if it is missing or unreadable."""
    try:
        return json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def what_to_do(wanted: dict[str, str], stamp: dict[str, str], works: bool) -> str:
    """Decide what to do with an environment.

    Parameters
    ----------
    wanted : dict of str to str
        Stamp of an up-to-date environment.
    stamp : dict of str to str
        Stamp of the existing environment; empty if there is none.
    works : bool
        Whether its Python runs and has the right version.

    Returns
    -------
    str
        "keep", "update" (install in place) or "create" (from scratch).
    """
    if not works or any(stamp.get(key, wanted[key]) != wanted[key] for key in ("python", "flavour")):
        return "create"
    return "keep" if stamp == wanted else "update"


def ensure(environment: Environment, install: Callable[[Environment], None], fresh: bool = False) -> Path:
    """Make or update an environment if necessary.

    Parameters
    ----------
    environment : Environment
        The environment.
    install : callable
        Installs the packages into it.
    fresh : bool
        Whether to recreate it in any case.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    DevError
        A step failed.
    """
    found = probe(environment.executable) if environment.executable.exists() else None
    works = bool(found and found.version == environment.python.version)
    action = "create" if fresh else what_to_do(environment.stamp(), read_stamp(environment.folder), works)
    label = f"environment {environment.name} (Python {dotted(environment.python.version)})"
    if action == "keep":
        say(f"-- {label}: current")
        return environment.executable
    with step(f"{action} {label}"):
        if action == "create":
            shutil.rmtree(environment.folder, ignore_errors=True)
            hint = "On Debian: apt-get install python3-venv."
            command: Command = [environment.python.path, "-m", "venv", environment.folder]
            must(command, hint)
        (environment.folder / STAMP).unlink(missing_ok=True)
        install(environment)
        (environment.folder / STAMP).write_text(json.dumps(environment.stamp()), "utf-8")
    return environment.executable


def pip_install(environment: Environment, *arguments: str | Path) -> list[str | Path]:
    """Return the command that installs packages into an environment under its constraints."""
    quiet = [] if sys.stdout.isatty() else ["-q"]
    command: list[str | Path] = [environment.executable, "-m", "pip", "install", *quiet]
    return [*command, "-c", environment.constraints, *arguments]


def install_torch(environment: Environment) -> None:
    """Install torch first and alone, so that no dependency pulls in a build for other hardware.

    Parameters
    ----------
    environment : Environment
        The backend's environment.

    Raises
    ------
    DevError
        All ways to install torch failed.
    """
    version = pinned(environment.constraints.read_text("utf-8"), "torch")
    attempts = torch_attempts(platform.system(), environment.flavour, version)
    for tool, arguments in attempts:
        say(f"   torch {version} ({environment.flavour}): {tool} install {' '.join(arguments)}")
        if (tool, arguments) == attempts[-1] and len(attempts) > 1:
            say("   the last attempt installs the default build; under Linux it has several GB of CUDA libraries")
        if run_installer(environment, tool, arguments) == 0:
            return
    raise DevError("torch could not be installed. Is the package index reachable?")


def run_installer(environment: Environment, tool: str, arguments: list[str]) -> int:
    """Install packages with pip or uv; uv is installed into the environment first.

    Parameters
    ----------
    environment : Environment
        The environment.
    tool : str
        "pip" or "uv".
    arguments : list of str
        Arguments of the install command.

    Returns
    -------
    int
        Exit code.
    """
    if tool == "pip":
        return run(pip_install(environment, *arguments))
    code = run(pip_install(environment, "uv"))
    python = environment.executable
    command: list[str | Path] = [python, "-m", "uv", "pip", "install", "--python", python]
    return code or run([*command, "-c", environment.constraints, *arguments])


def install_backend(environment: Environment) -> None:
    """Install the backend and its development tools into an environment; raises DevError if that fails."""
    install_torch(environment)
    hint = "Is the network reachable? Python 3.13 also needs a C++ compiler (PyMCubes has no wheel for it)."
    must(pip_install(environment, "-e", f"{ROOT}[dev]"), hint)
    check_import(environment.executable, "cv2", "mediapipe.tasks.python.vision")


def install_bpy(environment: Environment) -> None:
    """Install bpy and the test tools into an environment; raises DevError if that fails."""
    must(pip_install(environment, "-r", environment.constraints), "Is the network reachable?")
    check_import(environment.executable, "bpy")


def check_import(python: Path, *modules: str) -> None:
    """Check that modules can be imported.

    Parameters
    ----------
    python : Path
        Python of the environment.
    *modules : str
        Names of the modules.

    Raises
    ------
    DevError
        A module cannot be imported; the message names the system packages to install.
    """
    answer = ask([python, "-c", f"import {', '.join(modules)}"], timeout=300)
    if answer is None or answer.returncode:
        reason = " ".join(answer.stderr.strip().splitlines()[-1:]) if answer else "no answer within 300 s"
        raise DevError(f"{modules[0]} cannot be imported ({reason}). On Debian: apt-get install {LIBRARIES}")


def backend_environment(torch: str = "auto", fresh: bool = False) -> Path:
    """Make or update the backend's environment.

    Parameters
    ----------
    torch : str
        One of ``TORCH_CHOICES``.
    fresh : bool
        Whether to recreate the environment in any case.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    DevError
        No matching Python was found, or a step failed.
    """
    python = choose_backend_python(running_interpreter(), other_pythons())
    flavour, why = resolve_torch(torch, nvidia_cards(), platform.system())
    if why:
        say(f"   PyTorch for {flavour}: {why}")
    return ensure(Environment("backend", python, (ROOT / "pyproject.toml",), flavour), install_backend, fresh)


def bpy_environment(bpy: Bpy, python: Interpreter, fresh: bool = False) -> Path:
    """Make or update the environment .venv/blender-<version>.

    Parameters
    ----------
    bpy : Bpy
        The bpy wheel.
    python : Interpreter
        Interpreter that the wheel supports.
    fresh : bool
        Whether to recreate the environment in any case.

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    DevError
        A step failed.
    """
    return ensure(Environment(f"blender-{bpy.name}", python, ()), install_bpy, fresh)
