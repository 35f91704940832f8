"""The panel "Motion" in the sidebar: the layers of a take's motion, and tools for a person's keys."""

import bpy

from .scene import clean, layers
from .scene.ownership import is_local
from .scene.wrapped_text import draw_wrapped


class Im2HandsMotionPanel(bpy.types.Panel):
    """Solve the motion again, and key the hands above it."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Im2Hands"
    bl_idname = "VIEW3D_PT_im2hands_motion"
    bl_label = "Motion"
    bl_parent_id = "VIEW3D_PT_im2hands_takes"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown where there is a take with rigged hands."""
        return bool(_takes(context))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the tools of each take."""
        takes = _takes(context)
        for collection in takes:
            layout = self.layout.box() if len(takes) > 1 else self.layout
            if len(takes) > 1:
                layout.label(text=collection.name, icon="OUTLINER_COLLECTION")
            _draw_take(layout, collection, context)


def _takes(context: bpy.types.Context) -> list[bpy.types.Collection]:
    return [one for one in clean.rigged_takes(context.scene) if is_local(one)]


def _draw_take(layout: bpy.types.UILayout, collection: bpy.types.Collection, context: bpy.types.Context) -> None:
    layout.operator("im2hands.reclean", icon="SMOOTHCURVE").take = collection.name
    rigs = clean.rigs(collection).values()
    if all(layers.is_lifted(rig) for rig in rigs):
        draw_wrapped(layout, "Your keys lie above the clean motion; re-runs keep them.", "NLA", context)
    else:
        layout.operator("im2hands.edit_above_clean", icon="NLA").take = collection.name
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("im2hands.hold_pose", icon="FREEZE").take = collection.name
    row.operator("im2hands.ease_edits", icon="IPO_EASE_IN_OUT").take = collection.name
    row = column.row(align=True)
    row.operator("im2hands.mirror_pose", icon="MOD_MIRROR").take = collection.name
    row.operator("im2hands.retime", icon="TIME").take = collection.name


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(Im2HandsMotionPanel)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(Im2HandsMotionPanel)
