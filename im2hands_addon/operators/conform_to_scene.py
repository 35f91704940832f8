"""Operator: move a take's keys to their true times in the scene's frame rate."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsConformToScene(OfTake, bpy.types.Operator):
    """Move the take's keys to their true times in the scene's frame rate; the scene stays as it is"""

    bl_idname = "im2hands.conform_to_scene"
    bl_label = "Conform to Scene"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Move the keys."""
        return finished(self, lambda: api.conform_to_scene(take_named(self.take, context.scene), context.scene))
