"""The virtual environments under .venv: made once, reused while their stamp is current, updated in place when not."""

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
from dev_tools.machine import has_nvidia_gpu, other_pythons, probe, running_interpreter
from dev_tools.processes import ROOT, Command, ask, must, run, say, step

ENVIRONMENTS = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints"
STAMP = "dev-stamp.json"
RECIPE = 1
"""Raise this when the way environments are made changes: every environment is then brought up to date."""

LIBRARIES = (
    "libx11-6 libxext6 libxfixes3 libxi6 libxrender1 libxxf86vm1 libsm6 libice6 libgl1 libegl1 libgles2 libxkbcommon0 "
    "libgomp1 libglib2.0-0"
)
"""Debian packages that bpy, MediaPipe and OpenCV load and a bare system lacks (`.ci/run` installs the same)."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment under .venv: what it is called, which Python it has, and what its stamp must say."""

    name: str
    python: Interpreter
    inputs: tuple[Path, ...]
    flavour: str = ""

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def executable(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def constraints(self) -> Path:
        return CONSTRAINTS / f"{self.name}.txt"

    def stamp(self) -> dict[str, str]:
        """What the stamp of an up-to-date environment says."""
        digest = hashlib.sha256(f"{RECIPE}".encode())
        for path in (self.constraints, *self.inputs):
            digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
        return {"inputs": digest.hexdigest(), "python": dotted(self.python.version), "flavour": self.flavour}


def read_stamp(folder: Path) -> dict[str, str]:
    try:
        return json.loads((folder / STAMP).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def what_to_do(wanted: dict[str, str], stamp: dict[str, str], works: bool) -> str:
    """`keep`, `update` (install in place) or `create` (from nothing) an environment, from its stamp."""
    if not works or any(stamp.get(key, wanted[key]) != wanted[key] for key in ("python", "flavour")):
        return "create"
    return "keep" if stamp == wanted else "update"


def ensure(environment: Environment, install: Callable[[Environment], None], fresh: bool = False) -> Path:
    """Makes or updates an environment where its stamp asks for it; returns its Python."""
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
    quiet = [] if sys.stdout.isatty() else ["-q"]
    command: list[str | Path] = [environment.executable, "-m", "pip", "install", *quiet]
    return [*command, "-c", environment.constraints, *arguments]


def install_torch(environment: Environment) -> None:
    """torch first and alone, so that nothing else draws in a build for other hardware."""
    version = pinned(environment.constraints.read_text("utf-8"), "torch")
    attempts = torch_attempts(platform.system(), environment.flavour, version)
    for tool, arguments in attempts:
        say(f"   torch {version} ({environment.flavour}): {tool} install {' '.join(arguments)}")
        if (tool, arguments) == attempts[-1] and len(attempts) > 1:
            say("   this last way takes the default build, which brings several GB of CUDA libraries")
        if run_installer(environment, tool, arguments) == 0:
            return
    raise DevError("torch could not be installed. Is the package index reachable?")


def run_installer(environment: Environment, tool: str, arguments: list[str]) -> int:
    """`pip install` or, with uv put into the environment first, `uv pip install`; the exit code."""
    if tool == "pip":
        return run(pip_install(environment, *arguments))
    code = run(pip_install(environment, "uv"))
    python = environment.executable
    return code or run([python, "-m", "uv", "pip", "install", "--python", python, *arguments])


def install_backend(environment: Environment) -> None:
    install_torch(environment)
    hint = "Is the network reachable? Python 3.13 also needs a C++ compiler (PyMCubes has no wheel for it)."
    must(pip_install(environment, "-e", f"{ROOT}[dev]"), hint)
    check_import(environment.executable, "cv2", "mediapipe.tasks.python.vision")


def install_bpy(environment: Environment) -> None:
    must(pip_install(environment, "-r", environment.constraints), "Is the network reachable?")
    check_import(environment.executable, "bpy")


def check_import(python: Path, *modules: str) -> None:
    """Imports modules once, and says which system packages to install if their libraries are missing."""
    answer = ask([python, "-c", f"import {', '.join(modules)}"], timeout=300)
    if answer is None or answer.returncode:
        reason = " ".join(answer.stderr.strip().splitlines()[-1:]) if answer else "no answer within 300 s"
        raise DevError(f"{modules[0]} cannot be imported ({reason}). On Debian: apt-get install {LIBRARIES}")


def backend_environment(torch: str = "auto", fresh: bool = False) -> Path:
    """The backend's Python, its environment made or updated; `torch` is one of TORCH_CHOICES."""
    python = choose_backend_python(running_interpreter(), other_pythons())
    flavour = resolve_torch(torch, torch == "auto" and has_nvidia_gpu(), platform.system())
    return ensure(Environment("backend", python, (ROOT / "pyproject.toml",), flavour), install_backend, fresh)


def bpy_environment(bpy: Bpy, python: Interpreter, fresh: bool = False) -> Path:
    """The Python of .venv/blender-<version>, its environment made or updated."""
    return ensure(Environment(f"blender-{bpy.name}", python, ()), install_bpy, fresh)
