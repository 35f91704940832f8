"""Operator: prepare a layer for a person's keys above the clean motion."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake, has_rigged_take
from .reporting import finished


class Im2HandsEditAboveClean(OfTake, bpy.types.Operator):
    """Key the hands in a layer of their own. The clean motion becomes an NLA strip below it, and re-runs change that"""

    bl_idname = "im2hands.edit_above_clean"
    bl_label = "Edit Above Clean"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a take with rigged hands."""
        return has_rigged_take(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make the layer on both rigs."""
        return finished(self, lambda: api.edit_above_clean(take_named(self.take, context.scene)))
