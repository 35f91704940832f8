"""Deleting a take, completely or in parts: nothing of it remains, and the person's own data stays."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import numpy as np
import pytest
import synthetic
from datablocks import counted
from test_clean_hands import NEAR, furthest, part
from test_interface import PANELS, draw


@pytest.fixture
def api(addon):
    return addon("api")


def test_nothing_is_left_of_a_deleted_take(api, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    synthetic.write_png(photo, synthetic.picture(160, 120))
    bpy.context.scene.timeline_markers.new("mine", frame=1)
    before = counted()
    example = animated.make(4, missing=(2,))
    folder = animated.write(tmp_path / "take", example, images={1: str(photo)})
    collection, _ = api.import_take(folder)
    api.set_smoothing(collection, 0.3)
    api.remove_take(collection)
    assert counted() == before
    assert [marker.name for marker in bpy.context.scene.timeline_markers] == ["mine"]


def test_a_take_deleted_while_shown(api, tmp_path: Path) -> None:
    example = animated.make(4)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    bpy.context.scene.frame_set(3)
    own = bpy.data.objects.new("mine", None)
    part(collection, "rig", "left").users_collection[0].objects.link(own)
    own.parent = next(one for one in collection.objects if one.name.endswith("Origin"))
    bpy.context.view_layer.update()
    place = own.matrix_world.copy()
    assert bpy.ops.im2hands.remove_take(take="take") == {"FINISHED"}
    assert list(bpy.context.scene.objects) == [own], "a person's own object stays"
    assert own.parent is None
    np.testing.assert_allclose(np.array(own.matrix_world), np.array(place), atol=1e-6)
    assert bpy.context.scene.camera is None
    for frame in range(1, 6):
        bpy.context.scene.frame_set(frame)
    for panel in PANELS:
        draw(panel)
    with pytest.raises(RuntimeError, match="no take"):
        bpy.ops.im2hands.remove_take(take="take")
    collection, _ = api.import_take(folder)
    assert furthest(collection, example) < NEAR


def test_parts_deleted_by_hand(api, tmp_path: Path) -> None:
    """Parts deleted in the outliner do not break the panels, and the next import brings them back."""
    example = animated.make(2)
    folder = animated.write(tmp_path / "take", example)
    collection, _ = api.import_take(folder)
    bpy.data.objects.remove(part(collection, "rig", "left"))
    bpy.data.objects.remove(part(collection, "hand", "right"))
    for panel in PANELS:
        draw(panel)
    api.set_smoothing(collection, 0.5)
    api.set_smoothing(collection, 1.0)
    collection, problems = api.import_take(folder)
    assert not problems and furthest(collection, example) < NEAR
