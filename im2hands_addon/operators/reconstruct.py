"""Operator: reconstruct the hands in the chosen photos or clip."""

import bpy

from .. import waiting
from ..reconstruction import Reconstruction
from .starts_job import StartsJob


class Im2HandsReconstruct(StartsJob, bpy.types.Operator):
    """Find the hands in the source and build their meshes. Finished frames appear at once and are kept"""

    bl_idname = "im2hands.reconstruct"
    bl_label = "Reconstruct"

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the reconstruction."""
        return waiting.from_settings(context.scene).start()
