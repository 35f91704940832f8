"""Choice of a matching Python, bpy wheel and torch build. Pure functions that do not access the machine."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

Version = tuple[int, int]
"""Major and minor version."""

BACKEND_PYTHONS: tuple[Version, ...] = ((3, 11), (3, 12), (3, 13))
"""Python versions that the backend supports."""

TORCH_CHOICES = ("auto", "cpu", "cuda")
"""Values of the option --torch."""


class DevError(Exception):
    """An error that the developer can fix; the message says how."""


@dataclass(frozen=True)
class Bpy:
    """A bpy wheel that the project is tested with.

    Parameters
    ----------
    name : str
        Series, for example "4.2".
    version : str
        Exact version.
    python : Version
        The only Python version that the wheel supports.
    """

    name: str
    version: str
    python: Version

    @property
    def series(self) -> Version:
        """Major and minor version of Blender."""
        major, minor = self.name.split(".")
        return int(major), int(minor)


BPYS = (
    Bpy("4.2", "4.2.23", (3, 11)),
    Bpy("4.5", "4.5.15", (3, 11)),
    Bpy("5.0", "5.0.1", (3, 11)),
    Bpy("5.2", "5.2.3", (3, 13)),
)
"""The bpy wheels, oldest first."""


@dataclass(frozen=True)
class Interpreter:
    """A working Python interpreter: its path and version."""

    path: str
    version: Version


def dotted(version: Version) -> str:
    """Return a version as text, for example "3.11"."""
    return f"{version[0]}.{version[1]}"


def choose_backend_python(running: Interpreter, others: Sequence[Interpreter]) -> Interpreter:
    """Choose the interpreter of the backend's environment.

    Parameters
    ----------
    running : Interpreter
        Interpreter that runs dev.py; preferred.
    others : sequence of Interpreter
        Other interpreters on the machine, in the order of preference.

    Returns
    -------
    Interpreter

    Raises
    ------
    DevError
        The backend supports none of them.
    """
    for candidate in (running, *others):
        if candidate.version in BACKEND_PYTHONS:
            return candidate
    wanted = ", ".join(dotted(version) for version in BACKEND_PYTHONS)
    raise DevError(f"The backend needs Python {wanted}; this is {dotted(running.version)}. Install one of them.")


def fitting_bpy(pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter] | None:
    """Choose the oldest bpy wheel that supports one of the interpreters.

    Parameters
    ----------
    pythons : sequence of Interpreter
        Interpreters in the order of preference.

    Returns
    -------
    (Bpy, Interpreter) or None
        The wheel and the first interpreter that it supports; None if there is no match.
    """
    return next(((bpy, one) for bpy in BPYS for one in pythons if bpy.python == one.version), None)


def choose_bpy(pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter]:
    """Choose the oldest bpy wheel that supports one of the interpreters; like ``fitting_bpy``, but never None.

    Parameters
    ----------
    pythons : sequence of Interpreter
        Interpreters in the order of preference.

    Returns
    -------
    (Bpy, Interpreter)
        The wheel and the first interpreter that it supports.

    Raises
    ------
    DevError
        No wheel supports any of the interpreters.
    """
    found = fitting_bpy(pythons)
    if found is None:
        versions = ", ".join(dict.fromkeys(dotted(one.version) for one in pythons)) or "(none found)"
        raise DevError(
            f"No Blender 4.2 or newer is on PATH, and no bpy wheel exists for Python {versions}. "
            "Install Blender, or Python 3.11 (for bpy 4.2) or 3.13 (for bpy 5.2), and run this again."
        )
    return found


def choose_demo_blender(on_path: Version | None, pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter] | None:
    """Choose the oldest available Blender to write .blend files, so that all newer ones can open them.

    Parameters
    ----------
    on_path : Version or None
        Version of the Blender on PATH; None if there is none.
    pythons : sequence of Interpreter
        Interpreters of the machine, the running one first.

    Returns
    -------
    (Bpy, Interpreter) or None
        A bpy wheel and its interpreter; None for the Blender on PATH, if no available wheel is older.

    Raises
    ------
    DevError
        There is neither a Blender on PATH nor a matching wheel.
    """
    if on_path is None:
        return choose_bpy(pythons)
    found = fitting_bpy(pythons)
    return found if found and found[0].series < on_path else None


def _torch_build() -> ModuleType:
    """The add-on's file that chooses the build of PyTorch; the add-on itself needs Blender."""
    spec = importlib.util.spec_from_file_location("dev_tools.torch_build", TORCH_BUILD)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TORCH_BUILD = Path(__file__).parents[1] / "im2hands_addon" / "process" / "torch_build.py"
torch_build = _torch_build()


def torch_attempts(system: str, backend: str, version: str) -> list[tuple[str, list[str]]]:
    """List the ways to install torch, in the order in which to try them.

    Parameters
    ----------
    system : str
        Name of the operating system, see ``platform.system``.
    backend : str
        "cpu", "cu130" or "cu126".
    version : str
        Version of torch.

    Returns
    -------
    list of (str, list of str)
        Installer ("pip" or "uv") and the arguments of its install command. The last way is the build in the package
        index, which works without a card too.
    """
    found: list[tuple[str, list[str]]] = torch_build.ways(system, backend, version)
    last = ("pip", [f"torch=={version}"])
    return found if found[-1] == last else [*found, last]


def resolve_torch(choice: str, nvidia_smi: str, system: str) -> tuple[str, str]:
    """Resolve the value of the --torch option.

    Parameters
    ----------
    choice : str
        One of ``TORCH_CHOICES``.
    nvidia_smi : str
        What ``nvidia-smi`` says of the cards; empty without it.
    system : str
        Name of the operating system, see ``platform.system``.

    Returns
    -------
    backend : str
        "cpu", "cu130" or "cu126".
    why : str
        Why it is not the build for new cards, for the developer; may be empty.
    """
    if choice == "cpu" or system == "Darwin":
        return "cpu", ""
    build = torch_build.build_for(torch_build.read_cards(nvidia_smi))
    if choice == "cuda" and build.backend == "cpu":
        return "cu130", ""  # the developer knows better
    return build.backend, build.why


def pinned(constraints: str, name: str) -> str:
    """Find the version to which a constraints file pins a distribution.

    Parameters
    ----------
    constraints : str
        Text of the constraints file.
    name : str
        Name of the distribution, as written in the file.

    Returns
    -------
    str

    Raises
    ------
    DevError
        The file does not pin the distribution.
    """
    found = re.search(rf"^{re.escape(name)}==(\S+)$", constraints, re.MULTILINE)
    if not found:
        raise DevError(f"The constraints file does not pin {name}.")
    return found[1]


def blender_version(text: str) -> Version | None:
    """Parse the output of `blender --version`; None if it names no version."""
    found = re.search(r"^Blender (\d+)\.(\d+)", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None
