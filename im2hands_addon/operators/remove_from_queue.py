"""Operator: take a waiting reconstruction out of the queue."""

import bpy

from .. import running, waiting


class Im2HandsRemoveFromQueue(bpy.types.Operator):
    """Do not reconstruct this one"""

    bl_idname = "im2hands.remove_from_queue"
    bl_label = "Remove from Queue"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    number: bpy.props.IntProperty(
        name="Number", description="Place in the queue, from 0", min=0, options={"SKIP_SAVE", "HIDDEN"}
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while something waits."""
        if not waiting.queue():
            cls.poll_message_set("Nothing waits")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Remove it; what runs goes on."""
        waiting.remove(self.number)
        running.redraw()
        return {"FINISHED"}
