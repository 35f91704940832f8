"""Operator: let left and right change places on some frames."""

import bpy

from .. import api
from ..scene.tree import take_named
from .frame_range import FrameRange
from .reporting import finished


class Im2HandsSwapSides(FrameRange, bpy.types.Operator):
    """Left and right change places on these frames"""

    bl_idname = "im2hands.swap_sides"
    bl_label = "Swap Sides"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the correction."""
        return finished(self, lambda: api.swap_sides(take_named(self.take, context.scene), self.first, self.last))
