"""Operator: reconstruct the hands in the chosen photos or clip."""

import bpy

from .. import waiting
from ..errors import AddonError
from ..reconstruction import Reconstruction
from .starts_job import StartsJob, install_first, needs_installation


class Im2HandsReconstruct(StartsJob, bpy.types.Operator):
    """Find the hands in the source and build their meshes. Finished frames appear at once and are kept"""

    bl_idname = "im2hands.reconstruct"
    bl_label = "Reconstruct"

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Start; where there is no backend, ask first whether to install it."""
        if needs_installation():
            try:
                return install_first(waiting.from_settings(context.scene))
            except AddonError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        return self.execute(context)

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the reconstruction."""
        return waiting.from_settings(context.scene).start()
