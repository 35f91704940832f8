"""Operator: make corrected frames again."""

import bpy

from .. import api, running
from ..errors import AddonError
from ..scene.tree import take_named


class Im2HandsRebuildFrames(bpy.types.Operator):
    """Send the corrections to the backend, which makes just these frames again and solves the motion anew"""

    bl_idname = "im2hands.rebuild_frames"
    bl_label = "Rebuild Frames"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while no job of the backend runs."""
        if running.is_reconstructing():
            cls.poll_message_set("A reconstruction is running")
            return False
        return context.scene is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start in the background. Without a window no timer fires, so wait for the end there."""
        try:
            started = api.start_rebuild(take_named(self.take, context.scene), scene=context.scene)
            if not bpy.app.background:
                running.follow(started)
                return {"FINISHED"}
            result = started.run()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in result.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{len(started.job.frames)} frames made again")
        return {"FINISHED"}
