"""A person's way through the add-on in a Blender with a window, see ``session.py``; the lane ``window`` runs it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / "build" / "window"
"""The pictures of the screen stay here."""
_LONGEST_SECONDS = 240


def step_names() -> list[str]:
    """The names of the steps, in their order; the script itself can be imported by Blender only."""
    for node in ast.parse((HERE / "session.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STEPS":
            return [one.id for one in node.value.elts]
    raise AssertionError("session.py has no STEPS")


@pytest.fixture(scope="module")
def steps() -> dict[str, str]:
    """Run the script; returns by step what went wrong, "" for nothing."""
    sys.path.insert(0, str(ROOT))
    from dev_tools.window import start_command, window_blender

    blender, reason = window_blender()
    if not blender:
        pytest.skip(reason)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    variables = {"BLENDER_USER_RESOURCES": str(FOLDER / "user"), "XDG_DATA_HOME": str(FOLDER / "data")}
    extension = FOLDER / "im2hands_addon.zip"
    shutil.copy2(os.environ["IM2HANDS_EXTENSION"], extension)
    command = [*start_command(blender, str(FOLDER), variables), "--python-exit-code", "3"]
    command += ["--python", str(HERE / "session.py"), "--", str(FOLDER), str(extension)]
    with (FOLDER / "blender.log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, timeout=_LONGEST_SECONDS, check=False)
    extension.unlink()
    try:
        lines = (FOLDER / "steps.jsonl").read_text("utf-8").splitlines()
    except FileNotFoundError:
        pytest.fail((FOLDER / "blender.log").read_text("utf-8", "replace")[-4000:])
    return {one["step"]: one["problem"] for one in map(json.loads, lines)}


@pytest.mark.parametrize("name", step_names())
def test_in_a_window(steps: dict[str, str], name: str) -> None:
    assert name in steps, "not reached: a step before it failed"
    if steps[name].startswith("left out"):
        pytest.skip(steps[name])
    assert not steps[name], steps[name]
