"""Operator: install the backend into its own environment, separate from Blender's Python."""

from pathlib import Path

import bpy

from .. import running
from ..errors import AddonError, InputError
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
NOT_ONLINE = (
    "Allow Online Access in Preferences > System > Network, or choose a folder of wheels (Preferences > Add-ons > "
    "Im2Hands)"
)
"""Why nothing can be installed now."""


def may_download() -> bool:
    """Whether Blender may go online, or everything is there to install without."""
    return bpy.app.online_access or wheels_folder() is not None


def what_is_done() -> tuple[str, ...]:
    """Return what an installation with the settings of now would do, in sentences."""
    own = preferences()
    compute = own.compute if own else "AUTO"
    told = [*plan.told(environment_folder(), plan.resolved(compute), wheels_folder()), plan.why(compute)]
    return tuple(filter(None, told))


def install() -> None:
    """Start the installation in the background.

    Raises
    ------
    AddonError
        There is nothing to install, or no Python to install it with.
    """
    own = preferences()
    chosen = bpy.path.abspath(own.package) if own is not None else ""
    package = Path(chosen) if chosen else bundled_wheel()
    if package is None or not package.exists():
        raise InputError("Choose the backend's wheel or source folder first (Package).")
    python = environment.suitable_python(bpy.path.abspath(own.python) if own is not None else "")
    compute = own.compute if own is not None else "AUTO"
    constraints = None if chosen else bundled_constraints()
    started = task.installation(
        own_environment(), python, package, constraints, compute, old=old_environment(), wheels=wheels_folder()
    )
    running.follow(started)


class Im2HandsInstallBackend(bpy.types.Operator):
    """Create a Python environment for the backend and install its packages there; asks first"""

    bl_idname = "im2hands.install_backend"
    bl_label = "Install Backend"

    _told: tuple[str, ...] = ()

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Tell what will be done, and ask."""
        self._told = what_is_done()
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
        if not may_download():
            cls.poll_message_set(NOT_ONLINE)
            return False
        if running.is_working() or running.is_reconstructing():
            cls.poll_message_set("Something is running: wait for its end or stop it")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Start the installation in the background."""
        try:
            install()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
