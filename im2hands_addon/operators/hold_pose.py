"""Operator: hold a pose over a range."""

import bpy

from .. import api
from .motion_range import BONE_ITEMS, MotionRange


class Im2HandsHoldPose(MotionRange, bpy.types.Operator):
    """Hold the pose of a frame over a range, in the layer above the clean motion"""

    bl_idname = "im2hands.hold_pose"
    bl_label = "Hold"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    frame: bpy.props.IntProperty(name="Frame", description="Scene frame of the pose")
    ease: bpy.props.IntProperty(
        name="Ease", description="Number of frames over which it fades before and after the range", default=5, min=1
    )
    bones: bpy.props.EnumProperty(name="Bones", description="Which bones are edited", items=BONE_ITEMS)

    def edit(self, collection: bpy.types.Collection) -> None:
        """Edit the motion of the take."""
        api.hold(collection, self.frame, self.first, self.last, ease=self.ease, sides=self.sides, bones=self.bones)
