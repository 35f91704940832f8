"""Operator: go on with a take whose reconstruction has not come to its end."""

import bpy

from .. import api
from ..reconstruction import Reconstruction
from ..scene.tree import take_named
from .starts_job import StartsJob


class Im2HandsResume(StartsJob, bpy.types.Operator):
    """Go on with this take where it ended, with its own source and options"""

    bl_idname = "im2hands.resume"
    bl_label = "Resume"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")

    def start(self, context: bpy.types.Context) -> Reconstruction:
        """Start the reconstruction."""
        return api.resume(take_named(self.take, context.scene), scene=context.scene)
