"""Operator: edit the keypoints of the current frame as stick hands."""

import bpy

from .. import api
from ..scene import views
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsEditKeypoints(OfTake, bpy.types.Operator):
    """Show the hands of this frame as stick hands whose joints can be moved (G); their depth stays"""

    bl_idname = "im2hands.edit_keypoints"
    bl_label = "Edit Keypoints"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show the stick hands; what was dragged on another frame becomes a correction first."""

        def work() -> None:
            collection = take_named(self.take, context.scene)
            api.edit_keypoints(collection, context.scene)
            area = views.view_of(context)
            if area is not None:
                views.look_through(collection, context.scene, area)

        return finished(self, work)
