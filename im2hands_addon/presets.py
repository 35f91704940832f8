"""Presets of the options in the sidebar, kept where Blender keeps its own."""

from __future__ import annotations

import bpy
from bl_operators.presets import AddPresetBase
from bl_ui.utils import PresetPanel

from .properties import SIDEBAR_OPTIONS, property_of

_OWN = ("camera", "refine", "surfaces", "set_scene", "conform")
"""Settings of the sidebar that are no options of the backend and depend on no file."""


class VIEW3D_PT_im2hands_presets(PresetPanel, bpy.types.Panel):
    """Choose, add and remove presets of the options. Blender opens it by the name of this class."""

    bl_label = "Presets of the Options"
    preset_subdir = "im2hands"
    preset_operator = "script.execute_preset"
    preset_add_operator = "im2hands.add_preset"


class Im2HandsAddPreset(AddPresetBase, bpy.types.Operator):
    """Keep the present options as a preset, or remove one"""

    bl_idname = "im2hands.add_preset"
    bl_label = "Add Preset"
    preset_menu = "VIEW3D_PT_im2hands_presets"
    preset_subdir = "im2hands"
    preset_defines = ("settings = bpy.context.scene.im2hands",)
    preset_values = tuple(
        f"settings.{name}" for name in (*_OWN, *(property_of(one) for one in SIDEBAR_OPTIONS if one.type != "file"))
    )


CLASSES = (VIEW3D_PT_im2hands_presets, Im2HandsAddPreset)


def register() -> None:
    """Register the presets."""
    for one in CLASSES:
        bpy.utils.register_class(one)


def unregister() -> None:
    """Unregister the presets."""
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
