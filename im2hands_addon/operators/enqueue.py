"""Operator: let a reconstruction wait for the one that runs."""

import bpy

from .. import running, waiting
from .reporting import finished


class Im2HandsEnqueue(bpy.types.Operator):
    """Reconstruct this source, too, when the reconstruction that runs has ended. The settings are those of now"""

    bl_idname = "im2hands.enqueue"
    bl_label = "Add to Queue"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while something runs that can be waited for."""
        if not (running.is_reconstructing() or running.is_installing()):
            cls.poll_message_set("Nothing runs: press Reconstruct")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it to the queue."""
        return finished(self, lambda: running.enqueue(waiting.from_settings(context.scene)))
