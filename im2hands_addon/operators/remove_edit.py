"""Operator: take a correction back."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsRemoveEdit(OfTake, bpy.types.Operator):
    """Take this correction back. Rebuild Frames then gives the frame what was found before"""

    bl_idname = "im2hands.remove_edit"
    bl_label = "Remove Correction"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    edit: bpy.props.StringProperty(name="Correction", description="Its id")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Take the correction back."""
        return finished(self, lambda: api.remove_edit(take_named(self.take, context.scene), self.edit))
