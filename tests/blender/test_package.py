"""The zip is accepted by Blender's own tool, installs, and keeps the architecture's borders."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
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
NEVER_IMPORTED = {"torch", "cv2", "mediapipe", "trimesh", "im2hands", "scipy"}


def imported(path: Path) -> set[str]:
    """Top-level names and relative modules a file imports; relative ones begin with a dot."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or "") if node.level else node.module.split(".")[0])
    return names


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
    names = imported(path)
    assert not names & NEVER_IMPORTED
    place = path.relative_to(SOURCE).parts
    if place[0] in ("process", "take", "errors.py"):
        assert not names & {"bpy", "mathutils"}
    if place[0] == "scene":
        assert not [name for name in names if name.startswith("..") and "process" in name]
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), "a file says first what it is for"
    assert len(path.read_text("utf-8").splitlines()) < 400


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
