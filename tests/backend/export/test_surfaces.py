"""Exports of surfaces, read back with an independent reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from fakes import FakeParts, FakeProvider
from im2hands.core.errors import InputError, TakeError
from im2hands.export.surfaces_glb import split_glb
from im2hands.export.write import export_take
from im2hands.take.take import Take

SIDES = {3: ("left", "right"), 4: ("right",), 5: (), 6: ("left", "right")}


@pytest.fixture
def take(pictures: Path, tmp_path: Path, run_job: Callable[..., Any]) -> Take:
    run_job(pictures, parts=FakeParts(FakeProvider(sides=lambda index: SIDES[index])))
    return Take.open(tmp_path / "take")


def y_up(take: Take, index: int, side: str) -> np.ndarray:
    return take.read_frame(index)[side]["vertices"] * (1, -1, -1)


def test_ply(take: Take, tmp_path: Path) -> None:
    files = export_take(take.folder, "ply", tmp_path / "out")
    assert [path.name for path in files] == [
        "000003_left.ply", "000003_right.ply", "000004_right.ply", "000006_left.ply", "000006_right.ply",
    ]  # fmt: skip
    for path in files:
        index, side = path.stem.split("_")
        mesh = trimesh.load(path, process=False)
        assert np.allclose(mesh.vertices, y_up(take, int(index), side), atol=1e-6)
        assert mesh.is_watertight
        assert mesh.volume > 0  # faces point outward


def test_obj(take: Take) -> None:
    files = export_take(take.folder, "obj", frames="3-4")
    assert files == [take.folder.parent / "take_obj" / "000003.obj", take.folder.parent / "take_obj" / "000004.obj"]
    text = files[0].read_text()
    assert "o Hand.L" in text
    assert "o Hand.R" in text
    mesh = trimesh.load(files[0], process=False, force="mesh")
    both = np.concatenate([y_up(take, 3, "left"), y_up(take, 3, "right")])
    assert np.allclose(sorted(map(tuple, mesh.vertices)), sorted(map(tuple, both)), atol=1e-6)


def visible(tree: dict[str, Any], data: bytes, time: float) -> set[str]:
    """Names of the nodes that a viewer shows at a point in time."""

    def values(accessor: int) -> np.ndarray:
        entry = tree["accessors"][accessor]
        view = tree["bufferViews"][entry["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3}[entry["type"]]
        return np.frombuffer(data, np.float32, entry["count"] * width, view["byteOffset"]).reshape(-1, width)

    animation = tree["animations"][0]
    shown = set()
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "STEP"
        times, scales = values(sampler["input"])[:, 0], values(sampler["output"])
        assert (np.diff(times) > 0).all()
        if scales[np.searchsorted(times, time, side="right") - 1].all():
            shown.add(tree["nodes"][channel["target"]["node"]]["name"])
    return shown


def test_glb_plays(take: Take) -> None:
    [path] = export_take(take.folder, "glb")
    assert path == take.folder.parent / "take.glb"
    tree, data = split_glb(path.read_bytes())
    assert tree["buffers"][0]["byteLength"] == len(data)
    names = {node["name"] for node in tree["nodes"] if "mesh" in node}
    assert names == {f"Hand.{'LR'[side == 'right']} {index:06d}" for index, sides in SIDES.items() for side in sides}
    for index, sides in SIDES.items():
        expected = {f"Hand.{'LR'[side == 'right']} {index:06d}" for side in sides}
        assert visible(tree, data, (index - 3 + 0.5) / 25.0) == expected
    still = {node["name"] for node in tree["nodes"] if "mesh" in node and node["scale"] == [1, 1, 1]}
    assert still == visible(tree, data, 0.0)
    ends = [max(tree["accessors"][s["input"]]["max"]) for s in tree["animations"][0]["samplers"]]
    assert ends == pytest.approx([4 / 25] * len(ends))
    lens = tree["cameras"][0]["perspective"]
    assert lens["yfov"] == pytest.approx(2 * np.arctan(60 / take.header["camera"]["fy"]))
    assert any(node.get("camera") == 0 for node in tree["nodes"])
    colours = {material["name"] for material in tree["materials"]}
    assert colours == {"Hand.L", "Hand.R"}


def test_glb_is_read_by_another_reader(take: Take, tmp_path: Path) -> None:
    [path] = export_take(take.folder, "glb", tmp_path / "one", frames="3")
    assert path.name == "one.glb"
    scene = trimesh.load(path, process=False)
    assert "animations" not in split_glb(path.read_bytes())[0]
    for side, name in (("left", "Hand.L 000003"), ("right", "Hand.R 000003")):
        mesh = scene.geometry[name]
        assert np.allclose(mesh.vertices, y_up(take, 3, side), atol=1e-6)
        assert mesh.volume > 0
    trimesh.load(export_take(take.folder, "glb")[0])


@pytest.mark.parametrize("name", ["abc", "usd"])
def test_formats_of_blender(take: Take, name: str) -> None:
    with pytest.raises(InputError, match="comes from Blender") as caught:
        export_take(take.folder, name)
    assert "Import the take" in caught.value.hint


def test_refusals(take: Take, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no format "fbx"'):
        export_take(take.folder, "fbx")
    with pytest.raises(InputError, match="has a hand"):
        export_take(take.folder, "ply", frames="5")
    with pytest.raises(InputError, match="There are frames 3 to 6"):
        export_take(take.folder, "ply", frames="50")
    with pytest.raises(TakeError, match="There is no take"):
        export_take(tmp_path / "nothing", "ply")
    export_take(take.folder, "glb")
    with pytest.raises(InputError, match="is there already"):
        export_take(take.folder, "glb")
    export_take(take.folder, "glb", overwrite=True)
