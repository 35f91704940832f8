"""Operator: take the hands out of each other on some frames."""

import bpy

from .. import api
from ..scene import doubt
from ..scene.tree import take_named
from .frame_range import FrameRange
from .reporting import finished


class Im2HandsResolvePenetration(FrameRange, bpy.types.Operator):
    """Rebuild Frames takes the hands out of each other on these frames. The correction can be removed again"""

    bl_idname = "im2hands.resolve_penetration"
    bl_label = "Resolve Penetration"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def _begin(self, collection: bpy.types.Collection, frame: int) -> tuple[int, int]:
        """All frames around the current one on which the hands lie in each other."""
        return doubt.penetrated_around(collection, frame)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the correction."""
        return finished(
            self, lambda: api.resolve_penetration(take_named(self.take, context.scene), self.first, self.last)
        )
