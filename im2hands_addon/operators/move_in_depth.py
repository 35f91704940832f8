"""Operator: move keypoints that are being edited in depth."""

import bpy

from ..scene import stick_hands
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsMoveInDepth(bpy.types.Operator):
    """Move the selected keypoints away from the camera, so that they stay at their places in the picture"""

    bl_idname = "im2hands.move_in_depth"
    bl_label = "Move in Depth"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")
    distance: bpy.props.FloatProperty(
        name="Distance",
        description="Away from the camera; negative: towards it",
        unit="LENGTH",
        default=0.005,
        soft_min=-0.1,
        soft_max=0.1,
        precision=4,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while keypoints are edited."""
        if context.mode != "EDIT_MESH":
            cls.poll_message_set("Start Edit Keypoints and select keypoints")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Move the selected keypoints."""

        def work() -> None:
            if not stick_hands.move_in_depth(take_named(self.take, context.scene), self.distance):
                self.report({"WARNING"}, "No keypoint is selected")

        return finished(self, work)
