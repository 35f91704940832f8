"""Operator: look through a take's camera."""

import bpy

from ..scene import views
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsLookThroughTake(bpy.types.Operator):
    """Look through the take's camera, with the whole picture in sight. The scene's camera stays"""

    bl_idname = "im2hands.look_through_take"
    bl_label = "Camera"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection; empty: the first")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a 3D view."""
        return views.view_of(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Look through the camera."""
        area = views.view_of(context)
        return finished(self, lambda: views.look_through(take_named(self.take, context.scene), context.scene, area))
