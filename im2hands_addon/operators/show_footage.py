"""Operator: show a take's footage in every view, or only through its camera."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsShowFootage(OfTake, bpy.types.Operator):
    """Show the pictures behind the hands in every view, or only through the take's camera"""

    bl_idname = "im2hands.show_footage"
    bl_label = "Show Footage"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    shown: bpy.props.BoolProperty(
        name="Shown", description="Show the pictures behind the hands; else hide them", default=True
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Switch the footage."""
        return finished(self, lambda: api.show_footage(take_named(self.take, context.scene), self.shown))
