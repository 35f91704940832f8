"""What operators have in common that start a job of the backend."""

import bpy

from .. import running, waiting
from ..errors import AddonError
from ..reconstruction import Reconstruction
from ..waiting import Waiting


def needs_installation() -> bool:
    """Whether a person at a window should be asked to install the backend before anything can start.

    Not where a backend is named that is not there: the add-on would go on looking for that one.
    """
    backend = running.backend()
    is_missing = not (backend.is_found or backend.is_named or running.is_working())
    return is_missing and not bpy.app.background and bpy.ops.im2hands.install_backend.poll()


def install_first(one: Waiting) -> set[str]:
    """Ask whether to install the backend; the reconstruction starts when it is there.

    Parameters
    ----------
    one : Waiting
        The reconstruction.

    Returns
    -------
    set of str
        What ``execute`` or ``invoke`` returns.
    """
    waiting.hold(one)
    bpy.ops.im2hands.install_backend("INVOKE_DEFAULT")
    return {"FINISHED"}


class StartsJob:
    """Start a job in the background. Without a window no timer fires, so wait for the end there."""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Enabled while no job of the backend runs."""
        if running.is_reconstructing():
            cls.poll_message_set("A reconstruction is running")
            return False
        return True

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the job and return at once; each operator has its own."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start, and report the result where it is waited for."""
        try:
            started = self.start(context)
            if not bpy.app.background:
                running.follow(started)
                return {"FINISHED"}
            result = started.run()
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        for warning in result.warnings:
            self.report({"WARNING"}, warning)
        self.report({"INFO"}, f"{len(started.job.frames)} frames in {result.take}")
        return {"FINISHED"}
