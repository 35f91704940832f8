"""Operator: install the backend into its own environment, separate from Blender's Python."""

from pathlib import Path

import bpy

from .. import running
from ..errors import BackendError
from ..locations import bundled_constraints, bundled_wheel, old_environment, own_environment
from ..preferences import preferences
from ..process import environment, task


class Im2HandsInstallBackend(bpy.types.Operator):
    """Create a Python environment in the folder named above and download the backend's packages into it"""

    bl_idname = "im2hands.install_backend"
    bl_label = "Install Backend"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled with online access, while no check, installation or reconstruction runs."""
        if not bpy.app.online_access:
            cls.poll_message_set("Allow Online Access in Preferences > System > Network")
            return False
        return not (running.is_working() or running.is_reconstructing())

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Start the installation in the background."""
        own = preferences()
        chosen = bpy.path.abspath(own.package) if own is not None else ""
        package = Path(chosen) if chosen else bundled_wheel()
        if package is None or not package.exists():
            self.report({"ERROR"}, "Choose the backend's wheel or source folder first (Package).")
            return {"CANCELLED"}
        try:
            python = environment.suitable_python(bpy.path.abspath(own.python) if own is not None else "")
            compute = own.compute if own is not None else "AUTO"
            constraints = None if chosen else bundled_constraints()
            started = task.installation(own_environment(), python, package, constraints, compute, old=old_environment())
            running.follow(started)
        except BackendError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
