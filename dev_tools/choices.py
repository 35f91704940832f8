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

    @property
    def series(self) -> Version:
        """(major, minor)."""
        major, minor = self.name.split(".")
        return int(major), int(minor)


BPYS = (
    Bpy("4.2", "4.2.23", (3, 11)),
    Bpy("4.5", "4.5.15", (3, 11)),
    Bpy("5.0", "5.0.1", (3, 11)),
    Bpy("5.2", "5.2.3", (3, 13)),
)
"""Oldest first."""


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


def fitting_bpy(pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter] | None:
    """The oldest bpy wheel that fits one of these Pythons, with the first that it fits."""
    return next(((bpy, one) for bpy in BPYS for one in pythons if bpy.python == one.version), None)


def choose_bpy(pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter]:
    """As :func:`fitting_bpy`; DevError where none fits."""
    found = fitting_bpy(pythons)
    if found is None:
        versions = ", ".join(dict.fromkeys(dotted(one.version) for one in pythons)) or "what is here"
        raise DevError(
            f"No Blender 4.2 or newer is on PATH, and no bpy wheel exists for Python {versions}. "
            "Install Blender, or Python 3.11 (for bpy 4.2) or 3.13 (for bpy 5.2), and run this again."
        )
    return found


def choose_writer(on_path: Version | None, pythons: Sequence[Interpreter]) -> tuple[Bpy, Interpreter] | None:
    """The oldest Blender that can be had, for .blend files that every newer one opens as well.

    Args:
        on_path: version of the Blender on PATH. pythons: the Pythons here, the running one first.

    Returns:
        A bpy wheel and its Python; None for the Blender on PATH, where no wheel is older.
    """
    if on_path is None:
        return choose_bpy(pythons)
    found = fitting_bpy(pythons)
    return found if found and found[0].series < on_path else None


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
