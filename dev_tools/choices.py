"""What fits what: which Python, which bpy, which torch build. Pure functions, no look at the machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

Version = tuple[int, int]
BACKEND_PYTHONS: tuple[Version, ...] = ((3, 11), (3, 12), (3, 13))
TORCH_CHOICES = ("auto", "cpu", "cuda")


class DevError(Exception):
    """Something a person has to do first; the message says what."""


@dataclass(frozen=True)
class Bpy:
    """One bpy wheel we test with: its short name, its exact version, and the only Python it exists for."""

    name: str
    version: str
    python: Version


BPYS = (
    Bpy("4.2", "4.2.23", (3, 11)),
    Bpy("4.5", "4.5.15", (3, 11)),
    Bpy("5.0", "5.0.1", (3, 11)),
    Bpy("5.2", "5.2.3", (3, 13)),
)
DEMO_ORDER = ("5.0", "5.2", "4.5", "4.2")
"""Which bpy the demo prefers, when the running Python does not decide."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs: its path and version."""

    path: str
    version: Version


def dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def choose_backend_python(running: Interpreter, others: Sequence[Interpreter]) -> Interpreter:
    """The running interpreter if the backend supports it, else the first other one that fits."""
    for candidate in (running, *others):
        if candidate.version in BACKEND_PYTHONS:
            return candidate
    wanted = ", ".join(dotted(version) for version in BACKEND_PYTHONS)
    raise DevError(f"The backend needs Python {wanted}; this is {dotted(running.version)}. Install one of them.")


def choose_bpy(running: Interpreter, others: Sequence[Interpreter]) -> tuple[Bpy, Interpreter]:
    """The bpy wheel for the demo and the Python it goes with: for the running one if one fits."""
    order = sorted(BPYS, key=lambda bpy: DEMO_ORDER.index(bpy.name))
    for candidate in (running, *others):
        for bpy in order:
            if bpy.python == candidate.version:
                return bpy, candidate
    raise DevError(
        f"No Blender 4.2 or newer is on PATH, and no bpy wheel exists for Python {dotted(running.version)}. "
        "Install Blender, or Python 3.11 (for bpy 5.0) or 3.13 (for bpy 5.2), and run this again."
    )


def torch_attempts(system: str, choice: str, version: str) -> list[tuple[str, list[str]]]:
    """Ways to install torch, in the order to try: ("pip" or "uv", arguments of its install command)."""
    plain = f"torch=={version}"
    if system == "Linux" and choice == "cpu":
        return [
            ("pip", [f"{plain}+cpu"]),
            ("uv", ["--torch-backend", "cpu", plain]),
            ("pip", [plain]),
        ]
    if system == "Windows" and choice == "cuda":
        return [("uv", ["--torch-backend", "auto", plain])]
    return [("pip", [plain])]


def resolve_torch(choice: str, has_nvidia: bool, system: str) -> str:
    """`cpu` or `cuda` from the --torch option; what there is to choose depends on GPU and system."""
    if choice == "auto":
        return "cuda" if has_nvidia and system != "Darwin" else "cpu"
    return choice


def pinned(constraints: str, name: str) -> str:
    """The version that a constraints file's text pins `name` to."""
    found = re.search(rf"^{re.escape(name)}==(\S+)$", constraints, re.MULTILINE)
    if not found:
        raise DevError(f"The constraints pin no {name}.")
    return found[1]


def blender_version(text: str) -> Version | None:
    """(major, minor) from what `blender --version` prints."""
    found = re.search(r"^Blender (\d+)\.(\d+)", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None
