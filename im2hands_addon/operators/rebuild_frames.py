"""Operator: make corrected frames again."""

import bpy

from .. import api
from ..rebuilding import Rebuilding
from ..scene.tree import take_named
from .starts_job import StartsJob


class Im2HandsRebuildFrames(StartsJob, bpy.types.Operator):
    """Send the corrections to the backend, which makes just these frames again and solves the motion anew"""

    bl_idname = "im2hands.rebuild_frames"
    bl_label = "Rebuild Frames"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")

    def start(self, context: bpy.types.Context) -> Rebuilding:
        """Start the rebuild."""
        return api.start_rebuild(take_named(self.take, context.scene), scene=context.scene)
