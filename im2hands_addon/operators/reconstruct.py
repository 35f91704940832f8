"""Operator: reconstruct the hands in the chosen photos or clip."""

import bpy

from .. import api
from ..properties import inputs_of, options_of, timing_of
from ..reconstruction import Reconstruction
from .starts_job import StartsJob


class Im2HandsReconstruct(StartsJob, bpy.types.Operator):
    """Find the hands in the source and build their meshes. Finished frames appear at once and are kept"""

    bl_idname = "im2hands.reconstruct"
    bl_label = "Reconstruct"

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the reconstruction."""
        settings = context.scene.im2hands
        return api.start(
            inputs_of(settings),
            bpy.path.abspath(settings.output) or None,
            scene=context.scene,
            set_scene=settings.set_scene,
            surfaces=settings.surfaces,
            timing=timing_of(settings),
            **options_of(settings),
        )
