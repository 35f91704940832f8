"""End the running reconstruction and keep what is finished."""

import bpy

from .. import running


class Im2HandsCancelReconstruction(bpy.types.Operator):
    """End the reconstruction. Finished frames are kept; Reconstruct goes on from there"""

    bl_idname = "im2hands.cancel_reconstruction"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Only while there is one."""
        return running.is_reconstructing()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Ask for the end; the timer sees to the rest."""
        running.reconstruction().cancel()
        return {"FINISHED"}
