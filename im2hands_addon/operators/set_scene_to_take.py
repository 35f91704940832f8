"""Operator: set the scene's range, rate, size and camera to those of a take."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsSetSceneToTake(OfTake, bpy.types.Operator):
    """Set the scene's frame range, frame rate, picture size and camera to those of the take"""

    bl_idname = "im2hands.set_scene_to_take"
    bl_label = "Set Scene to Take"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the scene."""
        return finished(self, lambda: api.set_scene_to_take(take_named(self.take, context.scene), context.scene))
