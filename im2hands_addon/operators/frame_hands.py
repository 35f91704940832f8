"""Operator: bring a take's hands to the middle of the view."""

import bpy

from ..scene import views
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsFrameHands(bpy.types.Operator):
    """Bring the hands of all frames to the middle of the view. Through the camera only the view is zoomed"""

    bl_idname = "im2hands.frame_hands"
    bl_label = "Frame"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection; empty: the first")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a 3D view."""
        return views.view_of(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Turn or zoom the view."""
        area = views.view_of(context)
        return finished(self, lambda: views.frame_hands(take_named(self.take, context.scene), context.scene, area))
