"""Packaging of the Blender extension: the backend's wheel, the extension's folder, and the validated zip."""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

from dev_tools.choices import BPYS, DevError
from dev_tools.environments import ENVIRONMENTS
from dev_tools.machine import blender_on_path
from dev_tools.processes import BUILD, ROOT, Command, must, say, step

OPTIONS_TABLE = ROOT / "backend" / "im2hands" / "core" / "options.toml"
SHARED_TABLES = (OPTIONS_TABLE, ROOT / "backend" / "im2hands" / "take" / "arrays.toml")
"""Read by both programs, so they go into the extension, too."""

BUILDER = "**/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
"""Path pattern of Blender's extension builder in a bpy environment."""


def project_version() -> str:
    """Return the project's version from pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def build_wheel(python: Path) -> Path:
    """Build the backend's wheel in build/wheel, from scratch: setuptools would keep deleted files in build/lib.

    Parameters
    ----------
    python : Path
        Python of the backend's environment.

    Returns
    -------
    Path
        The wheel.

    Raises
    ------
    DevError
        The wheel cannot be built.
    """
    for leftover in (BUILD / "lib", BUILD / "wheel", *BUILD.glob("bdist.*")):
        shutil.rmtree(leftover, ignore_errors=True)
    command: Command = [python, "-m", "pip", "wheel", ROOT, "--no-deps", "-q", "-w", BUILD / "wheel"]
    must(command, "The backend's wheel could not be built.")
    (wheel,) = (BUILD / "wheel").glob("im2hands-*.whl")
    return wheel


def stage_extension(wheel: Path) -> Path:
    """Assemble the extension's folder for Blender's builder: add-on, manifest, licence and the backend's wheel.

    Parameters
    ----------
    wheel : Path
        The backend's wheel.

    Returns
    -------
    Path
        The folder.
    """
    folder = BUILD / "extension"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "im2hands_addon", folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("blender_manifest.toml", "LICENSE", "NOTICE"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "backend_wheel").mkdir()
    shutil.copy2(wheel, folder / "backend_wheel" / wheel.name)
    shutil.copy2(ROOT / "constraints" / "backend.txt", folder / "backend_wheel" / "constraints.txt")
    for table in SHARED_TABLES:
        shutil.copy2(table, folder / "backend_wheel" / table.name)
    return folder


def extension_tool() -> list[str | Path]:
    """Return the command of Blender's extension builder, from a bpy environment or from the Blender on PATH.

    Raises
    ------
    DevError
        There is neither.
    """
    for bpy in BPYS:
        for script in (ENVIRONMENTS / f"blender-{bpy.name}").glob(BUILDER):
            return [sys.executable, script]
    blender = blender_on_path()
    if blender:
        return [blender[0], "--background", "--command", "extension"]
    raise DevError("No bpy environment and no Blender on PATH: run `python dev.py setup` first.")


def package_extension(backend: Path) -> Path:
    """Build, validate and zip the extension.

    Parameters
    ----------
    backend : Path
        Python of the backend's environment.

    Returns
    -------
    Path
        The zip.

    Raises
    ------
    DevError
        A step failed.
    """
    with step("package the extension"):
        folder = stage_extension(build_wheel(backend))
        tool = extension_tool()
        target = BUILD / f"im2hands_addon-{project_version()}.zip"
        target.unlink(missing_ok=True)
        must([*tool, "validate", folder], "Blender's validator does not accept the extension.")
        must([*tool, "build", "--source-dir", folder, "--output-filepath", target], "The zip could not be built.")
        must([*tool, "validate", target], "Blender's validator does not accept the zip.")
        say(f"   {target.relative_to(ROOT)}: {target.stat().st_size / 1e6:.1f} MB")
    return target
