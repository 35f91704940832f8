"""What the take knows of each hand is on the timeline as animated properties, in colours, and a key away."""

from __future__ import annotations

import json
from pathlib import Path

import animated
import bpy
import pytest
import synthetic
from test_clean_hands import part
from test_interface import PANELS, draw


@pytest.fixture
def api(addon):
    return addon("api")


def change_records(folder: Path, **fields: dict[int, object]) -> None:
    """Set fields of the left hand in the records of a take: name -> frame -> value."""
    data = json.loads((folder / "take.json").read_text("utf-8"))
    for record in data["frames"]:
        for name, values in fields.items():
            if record["index"] in values and "left" in record["hands"]:
                record["hands"]["left"][name] = values[record["index"]]
    (folder / "take.json").write_text(json.dumps(data), "utf-8")


def put_contact(folder: Path, contact: dict[int, tuple[float, float]]) -> None:
    """Give records the volume (ml) and the depth (mm) to which their hands lay in each other."""
    data = json.loads((folder / "take.json").read_text("utf-8"))
    for record in data["frames"]:
        volume, depth = contact.get(record["index"], (0.0, 0.0))
        record["contact"] = {"penetration_ml": volume, "deepest_mm": depth}
    (folder / "take.json").write_text(json.dumps(data), "utf-8")


def values(thing: bpy.types.Object, name: str, frames: range) -> list[float]:
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        found.append(round(thing[name], 3))
    return found


def test_properties_of_rigged_hands(addon, api, tmp_path: Path) -> None:
    example = animated.make(6, ("left",), doubtful=(3,), filled=(4, 5))
    folder = animated.write(tmp_path / "take", example)
    change_records(
        folder, confidence={2: 0.3, 6: 0.8}, source={1: "crops", 2: "two_hand_network", 3: "of the future", 6: "file"}
    )
    collection, _ = api.import_take(folder)
    hand, frames = part(collection, "hand", "left"), range(1, 7)
    assert values(hand, "confidence", frames) == [0.9, 0.3, 0.9, 0.0, 0.0, 0.8]
    assert values(hand, "status", frames) == [1, 1, 3, 2, 2, 1]
    assert values(hand, "source", frames) == [1, 3, 99, 0, 0, 4]
    items = hand.id_properties_ui("source").as_dict()["items"]
    assert {item[4]: item[1] for item in items}[3] == "Two-hand network"
    collection, problems = api.import_take(folder)
    hand = part(collection, "hand", "left")
    assert values(hand, "status", frames) == [1, 1, 3, 2, 2, 1], "importing again"
    assert not any("you added" in one for one in problems), "they are not taken for the person's own"


def test_properties_without_a_rig(addon, api, tmp_path: Path) -> None:
    """They are on the parent of the keypoints, and move to the mesh once there is one."""
    folder = synthetic.write_take(
        tmp_path / "take", {1: ("left", "right"), 2: ("right",), 3: ("left",)}, confidence={3: 0.2}, failed=()
    )
    collection, _ = api.import_take(folder)
    root = bpy.data.objects["Keypoints.L"]
    assert values(root, "confidence", range(1, 4)) == [0.9, 0.0, 0.2]
    assert "status" not in root
    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(3)))
    assert "confidence" not in root and values(part(collection, "hand", "left"), "confidence", range(1, 4)) == [0.9] * 3


def test_an_old_take_knows_no_source(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left",)})
    change_records(folder, source={1: ""})
    api.import_take(folder)
    assert "source" not in bpy.data.objects["Keypoints.L"] and "confidence" in bpy.data.objects["Keypoints.L"]


def test_properties_are_conformed(api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6, ("left",), filled=(4,)))
    collection, _ = api.import_take(folder, timing=api.Timing(start=101))
    assert values(part(collection, "hand", "left"), "status", range(101, 107)) == [1, 1, 1, 2, 1, 1]


def test_penetration_is_on_the_timeline_and_in_the_colours(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6, doubtful=(2,)))
    collection, _ = api.import_take(folder)
    assert "penetration_ml" not in part(collection, "hand", "left"), "a take of an earlier version"
    put_contact(folder, {2: (0.1, 6.0), 3: (2.5, 3.0), 4: (0.5, 12.0), 5: (0.01, 0.5)})
    collection, _ = api.import_take(folder)
    doubt, markers = addon("scene.doubt"), addon("scene.markers")
    for side in ("left", "right"):
        hand, frames = part(collection, "hand", side), range(1, 7)
        assert values(hand, "penetration_ml", frames) == [0.0, 0.1, 2.5, 0.5, 0.01, 0.0]
        assert values(hand, "deepest_mm", frames) == [0.0, 6.0, 3.0, 12.0, 0.5, 0.0]
        sure, mild, deep = (doubt.color_at(hand, frame) for frame in (1, 3, 4))
        assert deep == doubt.color_of(0.0) != mild != sure
    reasons = {first: reason for first, _, reason in markers.read_runs(collection)}
    assert reasons == {2: "doubtful right, hands in each other", 4: "hands in each other"}
    assert doubt.penetrated_around(collection, 4) == (2, 5)
    assert doubt.penetrated_around(collection, 1) == (1, 1)
    doubt.color_meshes(collection, True)
    bpy.context.scene.frame_set(4)
    assert tuple(part(collection, "hand", "left").color) == pytest.approx(doubt.color_of(0.0), abs=1e-5)


def test_next_and_previous_doubtful_frame(api, tmp_path: Path) -> None:
    scene = bpy.context.scene
    with pytest.raises(RuntimeError, match="doubtful"):
        bpy.ops.im2hands.doubtful_frame()
    api.import_take(animated.write(tmp_path / "one", animated.make(12, ("left",), doubtful=(3, 4), filled=(9,))))
    api.import_take(
        animated.write(tmp_path / "two", animated.make(12, ("left",), doubtful=(2,))), timing=api.Timing(start=5)
    )
    # A take of one hand lacks the other one everywhere; those runs change where the reason does.
    starts = sorted({marker.frame for marker in scene.timeline_markers})
    scene.frame_set(1)
    seen = [1]
    while bpy.ops.im2hands.doubtful_frame() == {"FINISHED"}:
        seen.append(scene.frame_current)
    assert seen == starts and {3, 5, 6, 9} <= set(starts)
    while bpy.ops.im2hands.doubtful_frame(backwards=True) == {"FINISHED"}:
        assert scene.frame_current == starts[starts.index(seen.pop()) - 1]
    assert scene.frame_current == 1
    assert draw(PANELS[2]).operators.count("im2hands.doubtful_frame") == 4


def test_the_colours_tell_doubt(addon) -> None:
    color_of = addon("scene.doubt").color_of
    sure, unsure, none = (color_of(one) for one in (0.9, 0.5, 0.0))
    assert none[0] > 0.7 > none[1] and sure[1] > sure[0], "red where nothing was found, not where it is sure"
    assert unsure[0] > unsure[1] > unsure[2]
    assert color_of(0.9, 3) == none, "judged wrong"
    assert len({sure, unsure, none, color_of(0.9, 2)}) == 4, "filled in"


def test_doubt_on_the_mesh(addon, api, tmp_path: Path, monkeypatch) -> None:
    doubt, shading = addon("scene.doubt"), bpy.context.screen.areas
    views = [area.spaces.active.shading for area in shading if area.type == "VIEW_3D"]
    for view in views:
        view.color_type = "RANDOM"
    folder = animated.write(tmp_path / "take", animated.make(6, ("left",), doubtful=(3,), filled=(4,)))
    collection, _ = api.import_take(folder, surfaces="SHOW")
    collection.im2hands_colored = True
    assert all(view.color_type == "OBJECT" for view in views)

    def color(frame: int) -> tuple[float, ...]:
        bpy.context.scene.frame_set(frame)
        return tuple(round(one, 3) for one in part(collection, "hand", "left").color)

    assert color(1) == pytest.approx(doubt.color_of(0.9)) and color(3) == pytest.approx(doubt.color_of(0.9, 3))
    assert color(4) == pytest.approx(doubt.FILLED_COLOR)
    surface = bpy.data.objects["Surface.L 0003"]
    assert tuple(surface.color) == pytest.approx(doubt.color_of(0.9, 3))
    collection, problems = api.import_take(folder)
    assert color(3) == pytest.approx(doubt.color_of(0.9, 3)), "importing again"
    assert not any("you added" in one for one in problems)
    assert "Surface.L 0003" not in bpy.data.objects
    api.show_surfaces(collection)
    assert tuple(bpy.data.objects["Surface.L 0003"].color) == pytest.approx(doubt.color_of(0.9, 3))
    collection.im2hands_colored = False
    assert color(3) == (1, 1, 1, 1) == color(1) and all(view.color_type == "RANDOM" for view in views)
    part(collection, "hand", "left").keyframe_insert("color", frame=1)
    with pytest.raises(addon("errors").InputError, match="animated"):
        doubt.color_meshes(collection, True)
    said = []
    monkeypatch.setattr(addon("scene.status_bar"), "_write", said.append)
    collection.im2hands_colored = True
    assert not collection.im2hands_colored and "animated" in said[0], "the button says so in the status bar"


def test_the_skeleton_in_colours(addon, api, tmp_path: Path) -> None:
    """Its points are the keypoints in the world, also where they are hidden; a hand that was not found has none."""
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("right",)}, confidence={2: 0.1})
    collection, _ = api.import_take(folder)
    sticks = addon("scene.sticks")
    bpy.data.objects["take Origin"].location = (1, 2, 3)
    bpy.context.scene.frame_set(2)
    place = bpy.data.objects["index_tip.R"].matrix_world.translation.copy()
    collection.im2hands_keypoints = False
    (hand,) = sticks.sticks_at(collection, 2)
    assert hand.points[8] == pytest.approx(tuple(place), abs=1e-6)
    assert hand.color == pytest.approx(addon("scene.doubt").color_of(0.1), abs=1e-6)
    assert len(sticks.sticks_at(collection, 1)) == 2 and sticks.sticks_at(collection, 7) == []
    assert len(sticks.BONES) == 20 and (0, 1) in sticks.BONES and (7, 8) in sticks.BONES
    collection.im2hands_skeleton = True
    assert collection.im2hands_skeleton and "im2hands_skeleton" in draw(PANELS[2]).properties
