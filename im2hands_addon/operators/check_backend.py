"""Operator: check the backend and show the findings in the preferences."""

import bpy

from .. import running
from ..errors import BackendError
from ..locations import backend_setting
from ..process import task
from ..reconstruction import find_backend


class Im2HandsCheckBackend(bpy.types.Operator):
    """Show the backend's version, devices and weights, and run its self-test"""

    bl_idname = "im2hands.check_backend"
    bl_label = "Check"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while no other check or installation runs."""
        if running.is_working():
            cls.poll_message_set("A check or an installation is running")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Start the check in the background."""
        running.look_for_backend()
        try:
            running.follow(task.check(find_backend(backend_setting())))
        except BackendError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
