"""Imperfect takes: missing frames or hands, old or damaged files, motion that does not fit the frames."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from test_clean_hands import NEAR, furthest, part
from test_import import visible


@pytest.fixture
def api(addon):
    return addon("api")


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    """Change arrays of an npz file; None removes an array."""
    arrays = dict(np.load(path)) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def test_frames_missing(api, tmp_path: Path) -> None:
    example = animated.make(10, missing=(3, 4, 10))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR


def test_frames_with_a_step(api, tmp_path: Path) -> None:
    example = animated.make(5, first=10, step=3)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example, step=3))
    assert not problems and furthest(collection, example) < NEAR
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (10, 24)


def test_a_step_whose_frames_between_are_listed_as_missing(api, tmp_path: Path) -> None:
    """The motion lists every frame of the source. Between the steps, where no hand was searched, it stays visible."""
    between = tuple(frame for frame in range(10, 23) if (frame - 10) % 3)
    example = animated.make(13, first=10, missing=(*between, 16))
    folder = animated.write(tmp_path / "take", example, step=3)
    data = json.loads((folder / "take.json").read_text("utf-8"))
    data["frames"] = [record for record in data["frames"] if record["index"] not in between]
    (folder / "take.json").write_text(json.dumps(data), "utf-8")
    collection, problems = api.import_take(folder)
    assert not problems and furthest(collection, example) < NEAR
    hidden = []
    for frame in range(10, 23):
        bpy.context.scene.frame_set(frame)
        if part(collection, "hand", "right").hide_viewport:
            hidden.append(frame)
    assert hidden == [16, 17, 18]
    assert [marker.name for marker in bpy.context.scene.timeline_markers] == ["no right hand 16"]


def test_motion_of_frames_that_were_made_anew_since(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    data = json.loads((folder / "take.json").read_text("utf-8"))
    for clean in ({**data["clean"], "key": "another"}, None):
        data["clean"] = clean
        (folder / "take.json").write_text(json.dumps(data), "utf-8")
        collection, problems = api.import_take(folder)
        assert not problems and not bpy.data.armatures
        assert len([one for one in collection.all_objects if one.type == "MESH"]) == 6


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_hand_only(api, tmp_path: Path, side: str) -> None:
    example = animated.make(3, (side,))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    other = "R" if side == "left" else "L"
    assert not any(one.name.startswith((f"Hand.{other}", f"Rig.{other}")) for one in collection.all_objects)


def test_a_hand_that_is_never_there(api, tmp_path: Path) -> None:
    example = animated.make(3, missing=(1, 2, 3))
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    assert {one.name for one in collection.children} == {"Hand.L", "Surface.L", "Surface.R", "Keypoints"}


def test_one_frame(api, tmp_path: Path) -> None:
    example = animated.make(1)
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert not problems and furthest(collection, example) < NEAR
    api.set_smoothing(collection, 0.0)
    assert furthest(collection, example, "_raw") < NEAR


def test_an_older_take_without_template(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("left",)})
    collection, problems = api.import_take(folder)
    assert not problems
    assert {one.name for one in collection.children} == {"Surface.L", "Surface.R", "Keypoints"}
    bpy.context.scene.frame_set(2)
    assert visible() == {"Surface.L 0002"}
    assert not any(place.hide_viewport or place.hide_render for place in collection.children)


def test_a_take_that_lost_its_motion_loses_its_clean_hands(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    api.import_take(folder)
    (folder / "motion.npz").unlink()
    _, problems = api.import_take(folder)
    assert not problems and not bpy.data.armatures and not bpy.data.shape_keys
    bpy.context.scene.frame_set(2)
    assert visible() == {"Surface.L 0002", "Surface.R 0002"}


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("motion.npz", {"left_rotations": np.zeros((2, 3, 4), np.float32)}, "left_rotations is float32"),
        ("motion.npz", {"left_root": np.full((3, 3), np.nan, np.float32)}, "not finite"),
        ("motion.npz", {"right_status": None, "left_status": np.full(3, 9, np.uint8)}, "past 3"),
        ("motion.npz", {"frames": np.array([1, 3, 2], np.int32)}, "not ascending"),
        ("template.npz", {"faces": np.full((4, 4), 99999, np.int32)}, "uv is"),
        ("template.npz", {"bone_parents": np.zeros(21, np.int32)}, "parents before"),
        ("template.npz", {"weights": None}, "lacks weights"),
    ],
)
def test_damaged_animation_leaves_the_surfaces(api, tmp_path: Path, file: str, change: dict, text: str) -> None:
    folder = animated.write(tmp_path / "take", animated.make(3))
    rewrite(folder / file, **change)
    collection, problems = api.import_take(folder)
    assert len(problems) == 1 and text in problems[0] and file in problems[0]
    assert len([one for one in collection.all_objects if one.type == "MESH"]) == 6
    assert not bpy.data.armatures


def test_a_file_that_is_no_archive(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(2))
    (folder / "motion.npz").write_bytes(b"PK nothing")
    _, problems = api.import_take(folder)
    assert len(problems) == 1 and "Reconstruct the take again" in problems[0]


def test_bones_of_zero_length(api, tmp_path: Path) -> None:
    example = animated.make(4)
    number = animated.BONES.index("f_index.03")
    for hand in example.hands.values():
        hand.tails[number] = hand.heads[number]
    collection, problems = api.import_take(animated.write(tmp_path / "take", example))
    assert len(problems) == 2 and all("f_index.03" in problem for problem in problems)
    assert len(part(collection, "rig", "left").data.bones) == len(animated.BONES)
    assert furthest(collection, example) < NEAR
