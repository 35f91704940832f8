"""Operator: delete a take from the file."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsRemoveTake(OfTake, bpy.types.Operator):
    """Delete the take from this file, with rigs, motion, camera and markers. The folder on disk stays"""

    bl_idname = "im2hands.remove_take"
    bl_label = "Delete Take"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete the take."""
        return finished(self, lambda: api.remove_take(take_named(self.take, context.scene)))
