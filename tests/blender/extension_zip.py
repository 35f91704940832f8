"""Builds and validates the extension with Blender's own tool, for tests that run without the test runner."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]


def run_builder(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script ``blender_ext.py`` of this bpy."""
    script = Path(bpy.utils.system_resource("SCRIPTS")) / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)


def build(folder: Path) -> Path:
    """Build the zip in ``folder``, without the backend's wheel."""
    staged = folder / "staged"
    shutil.copytree(ROOT / "im2hands_addon", staged, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("blender_manifest.toml", "LICENSE"):
        shutil.copy2(ROOT / name, staged / name)
    (staged / "backend_wheel").mkdir()
    for name in ("core/options.toml", "take/arrays.toml"):
        table = ROOT / "backend" / "im2hands" / name
        shutil.copy2(table, staged / "backend_wheel" / table.name)
    target = folder / "im2hands_addon.zip"
    done = run_builder("build", "--source-dir", str(staged), "--output-filepath", str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    return target
