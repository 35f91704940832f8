"""Operator: make corrected frames again."""

import bpy

from .. import api
from ..rebuilding import Rebuilding
from ..scene.tree import take_named
from .of_take import OfTake, there_is_a_take
from .starts_job import StartsJob


class Im2HandsRebuildFrames(StartsJob, OfTake, bpy.types.Operator):
    """Send the corrections to the backend, which makes just these frames again and solves the motion anew"""

    bl_idname = "im2hands.rebuild_frames"
    bl_label = "Rebuild Frames"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while no job of the backend runs, where there is a take."""
        return super().poll(context) and there_is_a_take(cls, context)

    def start(self, context: bpy.types.Context) -> Rebuilding:
        """Start the rebuild."""
        return api.start_rebuild(take_named(self.take, context.scene), scene=context.scene)
