"""Operator: move the takes of older add-ons out of the folder that Blender deletes with the extension."""

import bpy

from .. import running
from ..errors import AddonError
from ..locations import old_takes_folder, takes_folder
from ..scene.relocation import move_takes


class Im2HandsMoveOldTakes(bpy.types.Operator):
    """Move the takes out of the extension's folder, which is deleted when the extension is uninstalled"""

    bl_idname = "im2hands.move_old_takes"
    bl_label = "Move Takes"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while no reconstruction runs."""
        if running.is_reconstructing():
            cls.poll_message_set("A reconstruction is running: wait for its end")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Move them, and tell where they are now."""
        try:
            moved = move_takes(old_takes_folder(), takes_folder())
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            running.look_for_backend()
        self.report({"INFO"}, f"Moved {len(moved)} takes to {takes_folder()}")
        return {"FINISHED"}
