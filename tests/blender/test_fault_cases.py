"""Kept damage of takes (tests/fault_cases) in an import: a note or an error in words, and the rest comes in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest

FAULTS = Path(__file__).parents[1] / "fault_cases"
CASES = sorted((FAULTS / "takes").iterdir())


@pytest.fixture
def api(addon):
    return addon("api")


def damaged_take(folder: Path, file: Path) -> tuple[Path, str]:
    """Make a copy of the kept take with a file exchanged; return it and the file's path in the take."""
    _, _, target = file.name.split("_", 2)
    target = target.replace("cache_hands_", "cache/hands/").replace("frames_", "frames/")
    shutil.copytree(FAULTS / "base_take", folder)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / target)
    return folder, target


def surfaces() -> set[str]:
    return {one.name for one in bpy.data.objects if one.name.startswith("Surface.")}


@pytest.mark.parametrize("surface", ["AUTO", "SHOW"])
@pytest.mark.parametrize("file", CASES, ids=lambda path: path.name)
def test_the_rest_comes_in(addon, api, tmp_path: Path, file: Path, surface: str) -> None:
    folder, target = damaged_take(tmp_path / "take", file)
    whole = {f"Surface.{side} {frame:04d}" for side in "LR" for frame in (1, 2)}
    # With rigged hands, surfaces stay on disk until they are shown, and so does what is wrong with them.
    left_on_disk = surface == "AUTO"
    if file.name == "clean_06_take.json":  # the add-on takes the size of the picture
        api.import_take(folder, surfaces=surface)
        assert surfaces() == (set() if left_on_disk else whole)
        return
    if target == "take.json":
        with pytest.raises(addon("errors").TakeError, match=r"take\.json|Frame 2"):
            api.import_take(folder, surfaces=surface)
        assert not bpy.data.meshes
        return
    _, problems = api.import_take(folder, surfaces=surface)
    named = [problem for problem in problems if Path(target).name in problem]
    if target.startswith("frames/"):
        assert len(named) == (0 if left_on_disk else 1)
        assert surfaces() == (set() if left_on_disk else {name for name in whole if name.endswith("2")})
        assert len(bpy.data.armatures) == 2
    elif target.startswith("cache/"):
        assert not named
        assert surfaces() == (set() if left_on_disk else whole)
    else:
        assert len(named) == 1
        assert surfaces() == whole
        assert not bpy.data.armatures


def test_template_and_motion_of_two_runs(api, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    path = folder / "take.json"
    data = json.loads(path.read_text("utf-8"))
    with np.load(folder / "template.npz") as template:
        data["clean"]["template"] = str(template["key"])
    path.write_text(json.dumps(data), "utf-8")
    assert len(bpy.data.armatures) == 0
    api.import_take(folder)
    assert len(bpy.data.armatures) == 2
    data["clean"]["template"] = "0" * 32
    path.write_text(json.dumps(data), "utf-8")
    _, problems = api.import_take(folder)
    assert any("belong to different runs" in problem for problem in problems)
    assert not bpy.data.armatures
    assert len(surfaces()) == 4


def test_a_large_frame_number(api, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    shutil.copyfile(FAULTS / "index_1000000_take.json", folder / "take.json")
    (folder / "motion.npz").unlink()
    api.import_take(folder)
    assert surfaces() == {"Surface.L 0001", "Surface.R 0001", "Surface.L 1000000", "Surface.R 1000000"}
    assert bpy.context.scene.frame_end == 1_000_000


def test_a_path_out_of_the_take(addon, api, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FAULTS / "base_take", tmp_path / "take"))
    shutil.copyfile(FAULTS / "traversal_take.json", folder / "take.json")
    with pytest.raises(addon("errors").TakeError, match="not a plain path"):
        api.import_take(folder)
