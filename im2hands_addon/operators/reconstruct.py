"""Operator: reconstruct the hands in the chosen photos or clip."""

import bpy

from .. import api, running
from ..errors import AddonError
from ..properties import inputs_of, options_of, timing_of


class Im2HandsReconstruct(bpy.types.Operator):
    """Find the hands in the source and build their meshes. Finished frames appear at once and are kept"""

    bl_idname = "im2hands.reconstruct"
    bl_label = "Reconstruct"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while no reconstruction runs."""
        if running.is_reconstructing():
            cls.poll_message_set("A reconstruction is running")
            return False
        return context.scene is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start in the background. Without a window no timer fires, so wait for the end there."""
        settings = context.scene.im2hands
        try:
            started = api.start(
                inputs_of(settings),
                bpy.path.abspath(settings.output) or None,
                scene=context.scene,
                set_scene=settings.set_scene,
                surfaces=settings.surfaces,
                timing=timing_of(settings),
                **options_of(settings),
            )
            if not bpy.app.background:
                running.follow(started)
                return {"FINISHED"}
            result = started.run()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in result.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{len(started.job.frames)} frames in {result.take}")
        return {"FINISHED"}
