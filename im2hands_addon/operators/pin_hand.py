"""Operator: pin a hand on some frames."""

import bpy

from .. import api
from ..scene.tree import take_named
from .frame_range import SIDE_ITEMS, FrameRange
from .reporting import finished


class Im2HandsPinHand(FrameRange, bpy.types.Operator):
    """The clean motion goes through this hand, and the frames beside it follow"""

    bl_idname = "im2hands.pin_hand"
    bl_label = "Pin"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    side: bpy.props.EnumProperty(name="Hand", description="The hand on these frames", items=SIDE_ITEMS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the correction."""
        return finished(
            self, lambda: api.pin_hand(take_named(self.take, context.scene), self.side, self.first, self.last)
        )
