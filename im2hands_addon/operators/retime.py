"""Operator: move what happens in time."""

import bpy

from .. import api
from .motion_range import MotionRange


class Im2HandsRetime(MotionRange, bpy.types.Operator):
    """Move what happens on a frame to another one; the motion before and after it is stretched or squeezed"""

    bl_idname = "im2hands.retime"
    bl_label = "Retime"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    frame: bpy.props.IntProperty(name="Frame", description="Scene frame of what is moved")
    to: bpy.props.IntProperty(name="To", description="Scene frame on which it is to happen")

    def edit(self, collection: bpy.types.Collection) -> None:
        """Edit the motion of the take."""
        api.retime(collection, self.frame, self.to, self.first, self.last, sides=self.sides)
