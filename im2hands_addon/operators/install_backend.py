"""Operator: install the backend into its own environment, separate from Blender's Python."""

from pathlib import Path

import bpy

from .. import running
from ..errors import AddonError
from ..locations import (
    bundled_constraints,
    bundled_wheel,
    environment_folder,
    old_environment,
    own_environment,
    wheels_folder,
)
from ..preferences import preferences
from ..process import environment, plan, task
from ..scene.wrapped_text import draw_wrapped

_WIDTH = 460


class Im2HandsInstallBackend(bpy.types.Operator):
    """Create a Python environment for the backend and install its packages there; asks first"""

    bl_idname = "im2hands.install_backend"
    bl_label = "Install Backend"

    _told: tuple[str, ...] = ()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Tell what will be done, and ask."""
        own = preferences()
        wheels = wheels_folder()
        compute = own.compute if own else "AUTO"
        told = [*plan.told(environment_folder(), plan.resolved(compute), wheels), plan.why(compute)]
        self._told = tuple(filter(None, told))
        return context.window_manager.invoke_props_dialog(
            self, width=_WIDTH, title="Install the Backend", confirm_text="Install"
        )

    def draw(self, context: bpy.types.Context) -> None:
        """Draw what will be done."""
        for line in self._told:
            draw_wrapped(self.layout, line, "DOT", context, width=_WIDTH)

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while no check, installation or reconstruction runs; without a folder of wheels only online."""
        if not bpy.app.online_access and wheels_folder() is None:
            cls.poll_message_set(
                "Allow Online Access in Preferences > System > Network, or choose a folder of wheels (Preferences > "
                "Add-ons > Im2Hands)"
            )
            return False
        if running.is_working() or running.is_reconstructing():
            cls.poll_message_set("Something is running: wait for its end or stop it")
            return False
        return True

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
            started = task.installation(
                own_environment(), python, package, constraints, compute, old=old_environment(), wheels=wheels_folder()
            )
            running.follow(started)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
