"""Operator: mirror a hand to the other one."""

import bpy

from .. import api
from .frame_range import SIDE_ITEMS
from .motion_range import BONE_ITEMS, MotionRange


class Im2HandsMirrorPose(MotionRange, bpy.types.Operator):
    """Give the other hand the mirrored fingers of this hand, in the layer above the clean motion"""

    bl_idname = "im2hands.mirror_pose"
    bl_label = "Mirror"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    side: bpy.props.EnumProperty(name="From", description="The hand that is mirrored", items=SIDE_ITEMS)
    ease: bpy.props.IntProperty(
        name="Ease", description="Number of frames over which it fades before and after the range", default=5, min=1
    )
    bones: bpy.props.EnumProperty(name="Bones", description="Which bones are edited", items=BONE_ITEMS)

    def edit(self, collection: bpy.types.Collection) -> None:
        """Edit the motion of the take."""
        api.mirror(collection, self.side, self.first, self.last, ease=self.ease, bones=self.bones)
