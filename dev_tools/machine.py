"""Detection of what this machine has: Python interpreters, an NVIDIA GPU, and Blender."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dev_tools.choices import BACKEND_PYTHONS, Interpreter, Version, blender_version, dotted, torch_build
from dev_tools.processes import ask


def running_interpreter() -> Interpreter:
    """Return the running interpreter; inside a virtual environment, the one that it was made from."""
    return Interpreter(getattr(sys, "_base_executable", sys.executable), sys.version_info[:2])


def probe(path: str | Path) -> Interpreter | None:
    """Run the Python at a path and ask it for its real path (behind shims and launchers) and version.

    Parameters
    ----------
    path : str or Path
        Python, shim or launcher.

    Returns
    -------
    Interpreter or None
        None if it does not run.
    """
    answer = ask([path, "-c", "import sys; print(sys.executable); print(*sys.version_info[:2])"])
    if answer is None or answer.returncode:
        return None
    executable, version = answer.stdout.split("\n")[:2]
    major, minor = version.split()
    return Interpreter(executable, (int(major), int(minor)))


def python_places(version: Version) -> Iterator[Path]:
    """List the paths where a Python version may be installed: PATH, then the folders of pyenv, uv and Windows.

    Parameters
    ----------
    version : Version
        Python version.

    Yields
    ------
    Path
        Need not be a working Python.
    """
    name = f"python{dotted(version)}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    windows = Path(os.environ.get("LOCALAPPDATA", "")) / "Programs" / "Python" / f"Python{version[0]}{version[1]}"
    yield from sorted((pyenv / "versions").glob(f"{dotted(version)}.*/bin/{name}"), reverse=True)
    yield from sorted((data / "uv" / "python").glob(f"*-{dotted(version)}.*/bin/{name}"), reverse=True)
    yield from windows.glob("python.exe")


def find_python(version: Version) -> Interpreter | None:
    """Find a Python version on this machine.

    Parameters
    ----------
    version : Version
        Python version.

    Returns
    -------
    Interpreter or None
        The running interpreter if it has the version, else the first working one of ``python_places``.
    """
    running = running_interpreter()
    if running.version == version:
        return running
    for place in python_places(version):
        found = probe(place)
        if found and found.version == version:
            return found
    return None


def other_pythons() -> list[Interpreter]:
    """Find an interpreter for each version that the backend supports; versions that are not installed are left out."""
    return [found for version in BACKEND_PYTHONS if (found := find_python(version))]


def nvidia_cards() -> str:
    """Return what nvidia-smi says of the cards; empty without it or if it fails."""
    answer = ask(["nvidia-smi", *torch_build.QUERY])
    return answer.stdout if answer and answer.returncode == 0 else ""


def blender_on_path() -> tuple[str, Version] | None:
    """Return path and version of the `blender` on PATH; None if there is none, or if it is older than 4.2."""
    path = shutil.which("blender")
    answer = ask([path, "--version"]) if path else None
    version = blender_version(answer.stdout) if answer else None
    return (path, version) if path and version and version >= (4, 2) else None
