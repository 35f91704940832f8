"""Operator: show or hide the implicit surfaces of a take with clean hands."""

import bpy

from .. import api
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsShowSurfaces(bpy.types.Operator):
    """Show or hide the surfaces that the network reconstructed for each frame. They are imported if needed"""

    bl_idname = "im2hands.show_surfaces"
    bl_label = "Show Surfaces"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")
    shown: bpy.props.BoolProperty(name="Shown", default=True)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show or hide the surfaces."""
        return finished(self, lambda: api.show_surfaces(take_named(self.take, context.scene), self.shown))
