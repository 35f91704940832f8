"""The panel "Onto a Character" in the sidebar: the character, its bones, and how the hands are baked onto it."""

import bpy

from . import live_bake
from .bake_settings import SHARED, TABLE
from .scene import clean


class Im2HandsBakePanel(bpy.types.Panel):
    """Bake the hands of a take onto the rig of a character."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Im2Hands"
    bl_idname = "VIEW3D_PT_im2hands_bake"
    bl_label = "Onto a Character"
    bl_parent_id = "VIEW3D_PT_im2hands_takes"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown where there is a take with rigged hands."""
        return bool(clean.rigged_takes(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the settings, and a button for each take."""
        layout, settings = self.layout, context.scene.im2hands_bake
        name = settings.target.name if settings.target is not None else "Choose the Character"
        layout.menu("IM2HANDS_MT_characters", text=name, icon="ARMATURE_DATA")
        layout.prop(settings, "bone_map")
        layout.menu("IM2HANDS_MT_bone_maps", icon="PRESET")
        if settings.bone_map == TABLE:
            _draw_table(layout, settings)
        layout.prop(settings, "wrist")
        column = layout.column(align=True)
        column.prop(settings, "use_range")
        if settings.use_range:
            row = column.row(align=True)
            row.prop(settings, "first")
            row.prop(settings, "last")
        column.prop(settings, "offset")
        layout.prop(settings, "into")
        layout.prop(settings, "reduce_degrees")
        takes = clean.rigged_takes(context.scene)
        for collection in takes:
            text = "Bake to Rig" if len(takes) == 1 else f"Bake {collection.name}"
            row = layout.row(align=True)
            button = row.operator("im2hands.bake_to_rig", text=text, icon="ARMATURE_DATA")
            button.take = collection.name
            button.target = settings.target.name if settings.target is not None else ""
            for name in SHARED:
                setattr(button, name, getattr(settings, name))
            text, icon = ("Stop", "PAUSE") if live_bake.is_on() else ("Live", "FILE_REFRESH")
            row.operator("im2hands.follow_take", text=text, icon=icon).take = collection.name


def _draw_table(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    """Draw the table of bone names."""
    column = layout.column(align=True)
    for row in settings.rows:
        line = column.split(factor=0.28, align=True)
        line.label(text=row.name)
        line = line.row(align=True)
        for side in ("left", "right"):
            if settings.target is not None:
                line.prop_search(row, side, settings.target.data, "bones", text="")
            else:
                line.prop(row, side, text="")
    row = layout.row(align=True)
    row.prop(settings, "map_name", text="")
    row.operator("im2hands.save_bone_map", text="", icon="FILE_TICK")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(Im2HandsBakePanel)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(Im2HandsBakePanel)
