"""Operator: stop the running check or installation."""

import bpy

from .. import running


class Im2HandsCancelTask(bpy.types.Operator):
    """Stop the check or the installation"""

    bl_idname = "im2hands.cancel_task"
    bl_label = "Stop"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while a check or installation runs."""
        if not running.is_working():
            cls.poll_message_set("No check and no installation is running")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Stop it at once."""
        running.task().cancel()
        return {"FINISHED"}
