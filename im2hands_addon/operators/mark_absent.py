"""Operator: say that a hand is not there on some frames."""

import bpy

from .. import api
from ..scene.tree import take_named
from .frame_range import SIDE_ITEMS, FrameRange
from .reporting import finished


class Im2HandsMarkAbsent(FrameRange, bpy.types.Operator):
    """The hand is not there on these frames: it is taken away, and no motion is filled in"""

    bl_idname = "im2hands.mark_absent"
    bl_label = "Mark Absent"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    side: bpy.props.EnumProperty(name="Hand", description="The hand on these frames", items=SIDE_ITEMS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the correction."""
        return finished(
            self, lambda: api.mark_absent(take_named(self.take, context.scene), self.side, self.first, self.last)
        )
