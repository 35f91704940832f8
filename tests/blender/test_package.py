"""The extension's zip is valid and can be installed; the add-on's modules respect the order of the rooms."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import bpy
import extension_zip
import pytest

from conftest import MODULE

SOURCE = extension_zip.ROOT / "im2hands_addon"
FILES = sorted(SOURCE.rglob("*.py"))
VERSIONS = "scene/blender_versions.py"
"""The only module that may ask for Blender's version."""
VERSION_CHECK = re.compile(
    r"bpy\.app\.version\b|\bhasattr\(|\.slots\b|action_slot|[cC]hannelbag|use_nodes|\.id_root|BLENDER_EEVEE"
)
ROOMS = (
    "errors", "person_path", "locations", "take", "process", "bone_maps", "scene", "reconstruction", "rebuilding",
    "recleaning", "reconstruction_api", "edits_api", "motion_api", "pins_api", "api", "bake_settings",
    "take_properties", "properties", "recent", "waiting", "live_bake", "watching", "running", "planned", "setup_view",
    "preferences", "operators", "presets", "keymap", "manual_links", "skeleton_overlay", "edit_panel", "motion_panel",
    "bake_panel", "take_panel", "panels", "command_line", "__init__",
)  # fmt: skip
"""Lowest first. A module imports only from its own room and from rooms below it."""
SEPARATE = {
    "take": {"locations"},
    "process": {"locations", "take"},
    "bone_maps": {"locations", "process"},
    "scene": {"process"},
}
"""Exceptions: rooms below that a room must not import. ``locations`` needs bpy; takes and processes are separate."""
BLENDER = {
    "bl_operators",
    "bl_ui",
    "blf",
    "bmesh",
    "bpy",
    "bpy_extras",
    "gpu",
    "gpu_extras",
    "mathutils",
    "addon_utils",
}
PACKAGES: dict[str, set[str]] = {
    "errors": set(),
    "person_path": set(),
    "take": {"numpy"},
    "process": set(),
    "bone_maps": set(),
}
"""The packages, besides the standard library, that the rooms without bpy may import."""


def imports(source: str, place: str) -> Iterator[tuple[int, str]]:
    """Every import of a module, also inside functions.

    Parameters
    ----------
    source : str
        The module's text.
    place : str
        Its path inside the add-on, with slashes.

    Yields
    ------
    tuple of int and str
        The line, and the full name of what is imported. The add-on's own names begin with a dot: ".scene.tree".
    """
    folders = place.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ["", *folders[: len(folders) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def forbidden_imports(source: str, place: str) -> list[str]:
    """The imports of a module that break the order of the rooms, as ``file:line: room imports name``."""
    own = place.split("/")[0].removesuffix(".py")
    below = set(ROOMS[: ROOMS.index(own) + 1]) - SEPARATE.get(own, set())
    packages = PACKAGES.get(own, BLENDER | {"numpy"}) | sys.stdlib_module_names
    found = []
    for line, name in imports(source, place):
        first, second = [*name.split("."), ""][:2]
        is_allowed = second in below if first == "" else first in packages
        if not is_allowed:
            found.append(f"{place}:{line}: {own} imports {name}")
    return found


def module_graph() -> dict[str, dict[str, int]]:
    """By module of the add-on the modules that it imports, each with the line of the import."""
    modules = {path.relative_to(SOURCE).with_suffix("").as_posix(): path for path in FILES}
    graph: dict[str, dict[str, int]] = {}
    for module, path in modules.items():
        graph[module] = {}
        for line, name in imports(path.read_text("utf-8"), f"{module}.py"):
            if name.startswith("."):
                target = name[1:].replace(".", "/")
                # What is no module is a name in one: in a file, or in the __init__ of a package.
                parent = target.rpartition("/")[0]
                choices = (target, f"{target}/__init__", parent, f"{parent}/__init__")
                graph[module].setdefault(next(one for one in choices if one in modules), line)
    return graph


def test_validator_accepts_the_zip(extension_file: Path) -> None:
    done = extension_zip.run_builder("validate", str(extension_file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_validator_can_refuse(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    extension_zip.build(tmp_path)
    manifest = staged / "blender_manifest.toml"
    manifest.write_text(manifest.read_text("utf-8").replace('type = "add-on"', 'type = "toy"'), "utf-8")
    assert extension_zip.run_builder("validate", str(staged)).returncode == 1


def test_zip_holds_the_addon_and_no_litter(extension_file: Path) -> None:
    names = set(zipfile.ZipFile(extension_file).namelist())
    assert {"blender_manifest.toml", "__init__.py", "take/reader.py", "scene/camera.py", "LICENSE"} <= names
    assert not [name for name in names if name.endswith(".pyc") or "test" in name]


def test_installed_and_enabled() -> None:
    assert MODULE in bpy.context.preferences.addons
    assert bpy.context.scene.im2hands.voxel_mm == pytest.approx(1.7)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_borders(path: Path) -> None:
    assert not forbidden_imports(path.read_text("utf-8"), path.relative_to(SOURCE).as_posix())
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "a file says first what it is for"
    assert len(path.read_text("utf-8").splitlines()) < 400


@pytest.mark.parametrize(
    ("place", "line", "allowed"),
    [
        ("scene/tree.py", "from .. import api", False),
        ("scene/tree.py", "def f():\n    from ..process.options import OPTIONS", False),
        ("scene/tree.py", "import torch", False),
        ("scene/tree.py", "from ..take.reader import Take", True),
        ("take/reader.py", "from ..locations import absolute", False),
        ("take/reader.py", "import bpy", False),
        ("take/reader.py", "import numpy as np", True),
        ("process/job.py", "import numpy as np", False),
        ("process/job.py", "from ..take.reader import Take", False),
        ("process/job.py", "from .options import Options", True),
        ("locations.py", "from .process import environment", False),
        ("running.py", "from .panels import CLASSES", False),
        ("api.py", "from .running import follow", False),
        ("panels.py", "from . import running", True),
        ("operators/reconstruct.py", "from ..preferences import preferences", True),
        ("operators/reconstruct.py", "from im2hands_addon import api", False),
    ],
)
def test_a_crossed_border_is_seen(place: str, line: str, allowed: bool) -> None:
    assert bool(forbidden_imports(line, place)) is not allowed


def test_no_circles() -> None:
    graph = module_graph()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        lines = [f"{one}.py:{graph[one][other]}: imports {other}" for one, other in itertools.pairwise(circle)]
        pytest.fail("\n".join(lines))


def version_checks(source: str, place: str) -> list[str]:
    """The lines of a module that depend on Blender's version, as ``file:line: text``."""
    if place == VERSIONS:
        return []
    lines = enumerate(source.splitlines(), start=1)
    return [f"{place}:{number}: {line.strip()}" for number, line in lines if VERSION_CHECK.search(line)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_one_module_knows_the_versions_of_blender(path: Path) -> None:
    assert not version_checks(path.read_text("utf-8"), path.relative_to(SOURCE).as_posix())


@pytest.mark.parametrize(
    ("place", "line", "allowed"),
    [
        ("scene/animation.py", "if bpy.app.version >= (4, 4, 0):", False),
        ("scene/animation.py", 'if hasattr(action, "slots"):', False),
        ("scene/animation.py", "animation.action_slot = slot", False),
        ("scene/preview.py", "stage.world.use_nodes = True", False),
        ("scene/preview.py", 'render.engine = "BLENDER_EEVEE_NEXT"', False),
        ("scene/blender_versions.py", 'if hasattr(action, "slots"):', True),
        ("reconstruction.py", 'client = f"Blender {bpy.app.version_string}"', True),
    ],
)
def test_a_version_check_is_seen(place: str, line: str, allowed: bool) -> None:
    assert bool(version_checks(line, place)) is not allowed


def test_reader_and_backend_side_need_no_bpy() -> None:
    code = (
        "import importlib.machinery, importlib.util, sys, types\n"
        "sys.modules['bpy'] = None\n"
        "package = types.ModuleType('im2hands_addon')\n"
        f"package.__path__ = [{str(SOURCE)!r}]\n"
        "sys.modules['im2hands_addon'] = package\n"
        "import im2hands_addon.take.motion, im2hands_addon.process.job, im2hands_addon.process.task\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_blender_ends_well_with_the_addon_on(extension_file: Path, tmp_path: Path) -> None:
    code = (
        "import sys, bpy\n"
        "bpy.ops.extensions.package_install_files(repo='user_default', filepath=sys.argv[1], enable_on_install=True)\n"
        "assert hasattr(bpy.context.scene, 'im2hands')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(extension_file)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_can_be_disabled_and_enabled_again() -> None:
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert not hasattr(bpy.context.scene, "im2hands")
    bpy.ops.preferences.addon_enable(module=MODULE)
    assert hasattr(bpy.context.scene, "im2hands")
