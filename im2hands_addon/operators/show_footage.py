"""Operator: show a take's footage in every view, or only through its camera."""

import bpy

from .. import api
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsShowFootage(bpy.types.Operator):
    """Show the pictures behind the hands in every view, or only through the take's camera"""

    bl_idname = "im2hands.show_footage"
    bl_label = "Show Footage"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")
    shown: bpy.props.BoolProperty(name="Shown", default=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Switch the footage."""
        return finished(self, lambda: api.show_footage(take_named(self.take, context.scene), self.shown))
