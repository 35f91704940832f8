"""Packaging of the Blender extension: the backend's wheel, the extension's folder, and the zip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path

from dev_tools.choices import BPYS
from dev_tools.environments import ENVIRONMENTS
from dev_tools.machine import blender_on_path
from dev_tools.manual import write_manual
from dev_tools.processes import BUILD, ROOT, Command, must, say, step

OPTIONS_TABLE = ROOT / "backend" / "im2hands" / "core" / "options.toml"
SHARED_TABLES = (OPTIONS_TABLE, ROOT / "backend" / "im2hands" / "take" / "arrays.toml")
"""Read by both programs, so they go into the extension, too."""

BUILDER = "**/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
"""Path pattern of Blender's tool for extensions in a bpy environment."""

_MOMENT = (2020, 1, 1, 0, 0, 0)
"""Date of the files in the zip, so that it depends on their content only."""


def project_version() -> str:
    """Return the project's version from pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def build_wheel() -> Path:
    """Build the backend's wheel in build/wheel, from scratch: setuptools would keep deleted files in build/lib.

    Any Python with pip can: what it takes to build is fetched into a folder of pip's own.

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
    command: Command = [pip_python(), "-m", "pip", "wheel", ROOT, "--no-deps", "-q", "-w", BUILD / "wheel"]
    must(command, "The backend's wheel could not be built.")
    (wheel,) = (BUILD / "wheel").glob("im2hands-*.whl")
    return wheel


def pip_python() -> Path:
    """Return a Python with pip: the running one, or one in .venv/pip (Debian's Python has none).

    Raises
    ------
    DevError
        It cannot be made.
    """
    if importlib.util.find_spec("pip"):
        return Path(sys.executable)
    python = ENVIRONMENTS / "pip" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        must([sys.executable, "-m", "venv", ENVIRONMENTS / "pip"], "On Debian: apt-get install python3-venv.")
    return python


def stage_extension(wheel: Path) -> Path:
    """Assemble the extension's folder: add-on, manifest, licence, manual and the backend's wheel.

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
    write_manual(folder / "manual")
    return folder


def write_zip(folder: Path, target: Path) -> None:
    """Write the extension's zip as Blender's own builder does; the same files give the same bytes.

    Parameters
    ----------
    folder : Path
        The extension's folder.
    target : Path
        The zip.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _MOMENT)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())


def extension_validator() -> list[str | Path]:
    """Return the command of Blender's own tool, from a bpy environment or the Blender on PATH; empty without both."""
    for bpy in BPYS:
        for script in (ENVIRONMENTS / f"blender-{bpy.name}").glob(BUILDER):
            return [sys.executable, script]
    blender = blender_on_path()
    return [blender[0], "--background", "--command", "extension"] if blender else []


def package_extension() -> Path:
    """Build the extension's zip, and validate it where there is a Blender.

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
        folder = stage_extension(build_wheel())
        target = BUILD / f"im2hands_addon-{project_version()}.zip"
        target.unlink(missing_ok=True)
        write_zip(folder, target)
        tool = extension_validator()
        if tool:
            must([*tool, "validate", target], "Blender's validator does not accept the zip.")
        else:
            say("   not validated: there is no Blender here and no bpy environment (python dev.py setup)")
        say(f"   {target.name}: {target.stat().st_size / 1e6:.1f} MB")
    return target
