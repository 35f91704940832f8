"""The panel "Corrections" in the sidebar: what a person corrects by hand, and what was corrected."""

import bpy

from .scene import clean, corrections, finger_pins, stick_hands, tree
from .scene.ownership import FRAME, is_local
from .scene.wrapped_text import draw_wrapped

_SHOWN_EDITS = 20


class Im2HandsCorrectionsPanel(bpy.types.Panel):
    """Correct the hands of single frames, and make these frames again."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Im2Hands"
    bl_idname = "VIEW3D_PT_im2hands_corrections"
    bl_label = "Corrections"
    bl_parent_id = "VIEW3D_PT_im2hands_takes"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Shown where there is a take to correct."""
        return any(is_local(one) for one in tree.take_collections(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the tools and the list of each take."""
        takes = [one for one in tree.take_collections(context.scene) if is_local(one)]
        for collection in takes:
            layout = self.layout.box() if len(takes) > 1 else self.layout
            if len(takes) > 1:
                layout.label(text=collection.name, icon="OUTLINER_COLLECTION")
            _draw_tools(layout, collection, context)
            _draw_edits(layout, collection, context)
            if clean.rigs(collection):
                _draw_pins(layout, collection)


def _draw_tools(layout: bpy.types.UILayout, collection: bpy.types.Collection, context: bpy.types.Context) -> None:
    """Draw the tools; while stick hands are edited, those for them."""
    sticks = stick_hands.find(collection)
    if sticks:
        frame = int(sticks[0][FRAME])
        row = layout.row(align=True)
        row.operator(
            "im2hands.apply_keypoints", text=f"Apply to Frame {frame}", icon="CHECKMARK"
        ).take = collection.name
        button = row.operator("im2hands.apply_keypoints", text="", icon="X")
        button.take, button.discard = collection.name, True
        layout.operator("im2hands.move_in_depth", icon="EMPTY_SINGLE_ARROW").take = collection.name
        if frame != corrections.frame_in_view(collection, context.scene):
            draw_wrapped(layout, f"The stick hands are those of frame {frame}.", "INFO", context)
    else:
        layout.operator("im2hands.edit_keypoints", icon="EDITMODE_HLT").take = collection.name
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("im2hands.mark_absent", text="Absent", icon="HIDE_ON").take = collection.name
    row.operator("im2hands.swap_sides", icon="ARROW_LEFTRIGHT").take = collection.name
    row = column.row(align=True)
    row.operator("im2hands.pin_hand", icon="PINNED").take = collection.name
    for side in ("left", "right"):
        button = row.operator("im2hands.draw_box", text=f"Box {side.title()}", icon="SELECT_SET")
        button.take, button.side = collection.name, side
    column.operator("im2hands.resolve_penetration", icon="MOD_BOOLEAN").take = collection.name


def _draw_edits(layout: bpy.types.UILayout, collection: bpy.types.Collection, context: bpy.types.Context) -> None:
    """Draw the list of corrections, and the button that sends them."""
    had = corrections.read(collection)
    unsent = had.unsent
    layout.operator("im2hands.rebuild_frames", icon="FILE_REFRESH").take = collection.name
    if unsent:
        changes = "1 change is" if len(unsent) == 1 else f"{len(unsent)} changes are"
        draw_wrapped(layout, f"{changes} not in the frames yet.", "INFO", context)
    column = layout.column(align=True)
    for edit in had.edits[: -_SHOWN_EDITS - 1 : -1]:
        row = column.row(align=True)
        row.label(text=corrections.described(edit), icon="RADIOBUT_OFF" if edit["id"] in unsent else "RADIOBUT_ON")
        button = row.operator("im2hands.remove_edit", text="", icon="X")
        button.take, button.edit = collection.name, edit["id"]
    if len(had.edits) > _SHOWN_EDITS:
        layout.label(text=f"and {len(had.edits) - _SHOWN_EDITS} before these")


def _draw_pins(layout: bpy.types.UILayout, collection: bpy.types.Collection) -> None:
    """Draw the button that pins a fingertip, and the pins."""
    column = layout.column(align=True)
    column.operator("im2hands.pin_fingertip", icon="CON_KINEMATIC").take = collection.name
    for pin in finger_pins.pins(collection):
        row = column.row(align=True)
        row.label(text=finger_pins.described(pin), icon="PINNED")
        button = row.operator("im2hands.unpin_fingertip", text="", icon="X")
        button.take, button.pin = collection.name, pin.name


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(Im2HandsCorrectionsPanel)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(Im2HandsCorrectionsPanel)
