"""What operators have in common that start a job of the backend."""

import bpy

from .. import running
from ..errors import AddonError
from ..reconstruction import Reconstruction


class StartsJob:
    """Start a job in the background. Without a window no timer fires, so wait for the end there."""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while no job of the backend runs."""
        if running.is_reconstructing():
            cls.poll_message_set("A reconstruction is running")
            return False
        return True

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the job and return at once; each operator has its own."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start, and report the result where it is waited for."""
        try:
            started = self.start(context)
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
