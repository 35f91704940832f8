"""The order of the packages: a module imports only from its own package and from lower ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import im2hands

PACKAGE = Path(im2hands.__file__).parent
ROOMS = (
    "core", "geometry", "media", "take", "networks", "weights", "surfaces", "keypoints", "animation", "export", "job",
    "app", "lab",
)  # fmt: skip
"""The packages, lowest first. ``lab`` may import all but ``app``. Only :data:`LAB_COMMANDS` may import ``lab``."""
LAB_COMMANDS = ("app/cli/data.py", "app/cli/synthesize.py", "app/cli/lab.py")
ROOT_FILES = {"__init__.py", "__main__.py"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def imported_rooms(source: str, place: str) -> Iterator[tuple[int, str]]:
    """Find every import of a package of ``im2hands``, also inside functions, and every module name in a string.

    Parameters
    ----------
    source : str
        Text of the module.
    place : str
        Path of the module inside ``im2hands``, with slashes.

    Yields
    ------
    int
        Line of the import.
    str
        Name of the imported package.
    """
    folders = place.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ["im2hands", *folders[: len(folders) - node.level + 1]]
            names = [".".join([*base, node.module or "", alias.name]).replace("..", ".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("im2hands."):
            names = [node.value]
        for name in names:
            parts = name.split(".")
            if parts[0] == "im2hands" and len(parts) > 1 and parts[1] in ROOMS:
                yield node.lineno, parts[1]


def forbidden(source: str, place: str) -> list[str]:
    """Return the imports of a module that break the order, as ``file:line: room imports room``."""
    own = place.split("/")[0]
    found = []
    for line, room in imported_rooms(source, place):
        if own == "lab":
            wrong = room == "app"
        elif room == "lab":
            wrong = place not in LAB_COMMANDS
        else:
            wrong = ROOMS.index(room) > ROOMS.index(own)
        if wrong:
            found.append(f"{place}:{line}: {own} imports {room}")
    return found


def test_only_rooms_stand_at_the_root() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == ROOT_FILES
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_from_below(path: Path) -> None:
    assert not forbidden(path.read_text("utf-8"), path.relative_to(PACKAGE).as_posix())


@pytest.mark.parametrize(
    ("place", "line", "allowed"),
    [
        ("networks/attention.py", "from im2hands.keypoints.finder import TwoHandProvider", False),
        ("networks/attention.py", "def f():\n    from ..keypoints import finder", False),
        ("keypoints/finder.py", "import im2hands.job.options", False),
        ("keypoints/finder.py", "from im2hands import job", False),
        ("weights/folder.py", 'NAME = "im2hands.surfaces.load"', False),
        ("job/reconstruct.py", "from im2hands.lab.training import runner", False),
        ("app/check.py", "from im2hands.lab.training import runner", False),
        ("app/cli/lab.py", "from im2hands.lab.training import runner", True),
        ("lab/training/runner.py", "from im2hands.app.terminal import quiet", False),
        ("lab/training/runner.py", "from im2hands.job.options import ReconstructOptions", True),
        ("surfaces/load.py", "from im2hands.weights.folder import BUNDLED", True),
    ],
)
def test_the_order_is_seen(place: str, line: str, allowed: bool) -> None:
    assert bool(forbidden(line, place)) is not allowed
