"""Resolve Penetration: a correction of both hands over the frames on which they lie in each other."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import pytest
import synthetic
from test_doubt import put_contact
from test_finger_pins import keys
from test_interface import draw


@pytest.fixture
def api(addon):
    return addon("api")


def test_resolve_penetration_is_a_correction(addon, api, tmp_path: Path) -> None:
    folder = animated.write(tmp_path / "take", animated.make(6))
    put_contact(folder, {2: (0.4, 6.0), 3: (2.5, 3.0)})
    collection, _ = api.import_take(folder)
    hands = addon("scene.clean").rigs(collection).values()
    assert all([track.name for track in rig.animation_data.nla_tracks] == ["Raw"] for rig in hands)
    before = [keys(rig) for rig in hands]
    assert "im2hands.resolve_penetration" in draw("VIEW3D_PT_im2hands_corrections").operators
    assert bpy.ops.im2hands.resolve_penetration(take=collection.name, first=2, last=3) == {"FINISHED"}
    (edit,) = api.edits(collection)
    assert edit == {"id": edit["id"], "kind": "apart", "frames": [2, 3]}
    assert "2-3: penetration resolved" in draw("VIEW3D_PT_im2hands_corrections").texts
    assert [keys(rig) for rig in hands] == before, "neither the raw nor the clean motion changes until a rebuild"
    (folder / "edits.json").write_text(
        '{"format": "im2hands-edits", "version": 1, "edits": [{"id": "mine", "kind": "apart", "frame": 4}]}'
    )
    collection, problems = api.import_take(folder)
    assert not problems
    assert [one["id"] for one in api.edits(collection)] == ["mine", edit["id"]], "a file with such edits is read"
    api.remove_edit(collection, edit["id"])
    assert len(api.edits(collection)) == 1


def test_resolve_penetration_needs_two_hands(api, tmp_path: Path) -> None:
    folder = synthetic.write_take(tmp_path / "take", {1: ("left", "right"), 2: ("right",)}, failed=())
    collection, _ = api.import_take(folder)
    name = collection.name
    with pytest.raises(RuntimeError, match="no two hands on frame 2"):
        bpy.ops.im2hands.resolve_penetration(take=name, first=2, last=2)
    with pytest.raises(RuntimeError, match="no frames 7 to 9"):
        bpy.ops.im2hands.resolve_penetration(take=name, first=7, last=9)
    assert bpy.ops.im2hands.resolve_penetration(take=name, first=1, last=2) == {"FINISHED"}
