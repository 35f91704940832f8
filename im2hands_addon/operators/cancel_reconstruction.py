"""Operator: cancel the running reconstruction."""

import bpy

from .. import running


class Im2HandsCancelReconstruction(bpy.types.Operator):
    """End early. What is done is rigged and kept, and Resume goes on from there. Pressed again: end at once"""

    bl_idname = "im2hands.cancel_reconstruction"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while a reconstruction runs."""
        if not running.is_reconstructing():
            cls.poll_message_set("No reconstruction is running")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask the backend to end; the timer of ``running`` does the rest."""
        running.cancel()
        return {"FINISHED"}
