"""What is on this machine: Pythons, a GPU, a Blender."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dev_tools.choices import BACKEND_PYTHONS, Interpreter, Version, blender_version, dotted
from dev_tools.processes import ask


def running_interpreter() -> Interpreter:
    """The Python that runs this; inside a virtual environment, the one that environment was made from."""
    return Interpreter(getattr(sys, "_base_executable", sys.executable), sys.version_info[:2])


def probe(path: str | Path) -> Interpreter | None:
    """The interpreter behind a path (through shims and launchers), if it runs."""
    answer = ask([path, "-c", "import sys; print(sys.executable); print(*sys.version_info[:2])"])
    if answer is None or answer.returncode:
        return None
    executable, version = answer.stdout.split("\n")[:2]
    major, minor = version.split()
    return Interpreter(executable, (int(major), int(minor)))


def python_places(version: Version) -> Iterator[Path]:
    """Paths where a Python of that version may be: PATH, then the folders of pyenv and uv."""
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
    """A Python of that version that can make environments: the running one, or one that lies where Pythons lie."""
    running = running_interpreter()
    if running.version == version:
        return running
    for place in python_places(version):
        found = probe(place)
        if found and found.version == version:
            return found
    return None


def other_pythons() -> list[Interpreter]:
    return [found for version in BACKEND_PYTHONS if (found := find_python(version))]


def has_nvidia_gpu() -> bool:
    answer = ask(["nvidia-smi", "-L"])
    return bool(answer and answer.returncode == 0 and "GPU" in answer.stdout)


def blender_on_path() -> tuple[str, Version] | None:
    """A `blender` on PATH that is 4.2 or newer, and its version."""
    path = shutil.which("blender")
    answer = ask([path, "--version"]) if path else None
    version = blender_version(answer.stdout) if answer else None
    return (path, version) if path and version and version >= (4, 2) else None
