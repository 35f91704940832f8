"""No scene owns ``bpy.context`` after the add-on's work: in Blender 4.2 memory is damaged once such a scene is gone."""

from __future__ import annotations

from pathlib import Path

import animated
import bpy
import synthetic


def test_editing_keypoints_gives_the_context_no_owner(addon, tmp_path: Path) -> None:
    api = addon("api")
    collection, _ = api.import_take(synthetic.write_take(tmp_path / "take", {1: ("left", "right")}))
    bpy.context.scene.frame_set(1)
    stick, _ = api.edit_keypoints(collection)
    assert stick.mode == "EDIT" and tuple(bpy.context.scene.tool_settings.mesh_select_mode) == (True, False, False)
    assert bpy.context.id_data is None
    api.apply_keypoints(collection)
    assert bpy.context.id_data is None


def test_another_file_ends_what_a_script_began(addon) -> None:
    """Scripts, and Rigify as it generates a rig, read what makes the scene the owner."""
    assert bpy.context.layer_collection is not None and bpy.context.tool_settings is not None
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert bpy.context.id_data is None


def test_an_export_after_the_scene_of_a_script_is_gone(addon, tmp_path: Path) -> None:
    api = addon("api")
    collection, _ = api.import_take(animated.write(tmp_path / "take", animated.make(2)))
    other = bpy.data.scenes.new("other")
    with bpy.context.temp_override(scene=other, view_layer=other.view_layers[0]):
        assert bpy.context.tool_settings == other.tool_settings
    bpy.data.scenes.remove(other)
    assert api.export_take(collection, tmp_path / "hands.glb")
    assert bpy.context.id_data is None and bpy.context.tool_settings == bpy.context.scene.tool_settings
