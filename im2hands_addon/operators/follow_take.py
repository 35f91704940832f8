"""Operator: let the character follow a take while that is adjusted."""

import bpy

from .. import live_bake
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsFollowTake(OfTake, bpy.types.Operator):
    """Bake now and after each change: keys, Raw to Clean, the place of the take, and these settings. Again: end it"""

    bl_idname = "im2hands.follow_take"
    bl_label = "Live"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where a character is chosen, and to end it."""
        if context.scene.im2hands_bake.target is None and not live_bake.is_on():
            cls.poll_message_set("Choose the character first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Begin or end it."""
        if live_bake.is_on():
            live_bake.stop()
            return {"FINISHED"}
        return finished(self, lambda: live_bake.start(take_named(self.take, context.scene), context.scene))
