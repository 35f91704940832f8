"""Operator: fade an edit out over a range."""

import bpy

from .. import api
from .motion_range import MotionRange


class Im2HandsEaseEdits(MotionRange, bpy.types.Operator):
    """Fade what was keyed on a frame above the clean motion out towards the ends of a range"""

    bl_idname = "im2hands.ease_edits"
    bl_label = "Ease"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    frame: bpy.props.IntProperty(name="Frame", description="Scene frame of the edit")

    def edit(self, collection: bpy.types.Collection) -> None:
        """Edit the motion of the take."""
        api.ease_out(collection, self.frame, self.first, self.last, sides=self.sides)
