"""Operator: take the pin of a fingertip away."""

import bpy

from .. import api
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsUnpinFingertip(bpy.types.Operator):
    """Take this pin away: the finger moves as before"""

    bl_idname = "im2hands.unpin_fingertip"
    bl_label = "Unpin Fingertip"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection")
    pin: bpy.props.StringProperty(name="Pin", description="Name of the pin")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete the pin."""
        return finished(self, lambda: api.unpin_fingertip(take_named(self.take, context.scene), self.pin))
