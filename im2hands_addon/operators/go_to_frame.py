"""Operator: go to a frame that should be checked."""

import bpy


class Im2HandsGoToFrame(bpy.types.Operator):
    """Go to this frame"""

    bl_idname = "im2hands.go_to_frame"
    bl_label = "Go to Frame"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    frame: bpy.props.IntProperty(name="Frame", description="Frame of the scene")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the current frame."""
        context.scene.frame_set(self.frame)
        return {"FINISHED"}
