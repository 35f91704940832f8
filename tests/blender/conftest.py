"""Fixtures. Every test runs in Blender's Python, with the built extension installed, and starts from an empty file."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

# Set before the first import of bpy, so that the person's Blender settings are neither read nor written.
os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="im2hands-blender-"))
# The same for the person's folders of takes and environments.
os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = tempfile.mkdtemp(prefix="im2hands-data-")

import bpy
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import extension_zip  # noqa: E402
import synthetic  # noqa: E402

MODULE = "bl_ext.user_default.im2hands_addon"

VERSION_INDEPENDENT = (
    "test_bad_backends.py", "test_bone_names.py", "test_corrections_in_blender.py", "test_environment.py",
    "test_real_backend.py", "test_real_footage.py", "test_setup.py", "test_take_paths.py", "test_take_reader.py",
)  # fmt: skip
"""Tests that spend their time outside Blender: once for each version of Python, not for each version of Blender.

The pictures that Blender shows are compared in every version by ``test_shown_pictures.py``.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need no particular Blender."""
    for item in items:
        if item.path.name in VERSION_INDEPENDENT:
            item.add_marker("version_independent")


@pytest.fixture(scope="session")
def extension_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension's zip. The test runner may have built it; otherwise it is built here."""
    given = os.environ.get("IM2HANDS_EXTENSION")
    return Path(given) if given else extension_zip.build(tmp_path_factory.mktemp("extension"))


@pytest.fixture(scope="session", autouse=True)
def installed(extension_file: Path):
    """Install and enable the extension as a person would."""
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=str(extension_file), enable_on_install=True)
    assert MODULE in bpy.context.preferences.addons, "the extension was not enabled"
    yield
    if MODULE in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture(autouse=True)
def empty_file(installed: None) -> None:
    """An empty scene, the extension enabled, default preferences."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    own = bpy.context.preferences.addons[MODULE].preferences
    for name in type(own).__annotations__:
        own.property_unset(name)


@pytest.fixture
def factory_scene() -> bpy.types.Scene:
    """The scene of a new file, with Blender's cube, light and camera; no 3D view has a camera of its own."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    for area in bpy.context.window.screen.areas:  # a new file keeps the windows of the file before
        if area.type == "VIEW_3D":
            area.spaces.active.use_local_camera = False
    return bpy.context.scene


@pytest.fixture(scope="session")
def addon(installed: None):
    """A function: ``addon("scene.camera")`` returns that module of the installed extension."""
    return lambda name: importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture
def running(addon):
    """The timer's module, with nothing running before and after the test."""
    own = addon("running")
    own.stop()
    yield own
    own.stop()


@pytest.fixture
def real_backend() -> str:
    """The Python of a real backend, from the variable IM2HANDS_BACKEND."""
    python = os.environ.get("IM2HANDS_BACKEND", "")
    if not python:
        pytest.fail(
            "Set IM2HANDS_BACKEND to the Python of an environment with the backend (`python dev.py test` does)."
        )
    return python


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small picture."""
    path = tmp_path / "photo.png"
    synthetic.write_png(path, synthetic.picture(160, 120))
    return path


@pytest.fixture
def fake_backend(tmp_path: Path):
    """``fake_backend("dies", 3)`` returns a Python whose backend is ``fake_server.py`` of this behaviour."""

    def make(behaviour: str, frames: int = 3) -> str:
        command = tmp_path / f"python-{behaviour}"
        script = HERE / "fake_server.py"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{script}" {behaviour} {frames} "$@"\n')
        command.chmod(0o755)
        return str(command)

    return make
