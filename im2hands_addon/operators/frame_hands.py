"""Operator: bring a take's hands to the middle of the view."""

import bpy

from ..scene import views
from .in_view import InView


class Im2HandsFrameHands(InView, bpy.types.Operator):
    """Bring the hands of all frames to the middle of the view. Through the camera only the view is zoomed"""

    bl_idname = "im2hands.frame_hands"
    bl_label = "Frame"

    def show(self, collection: bpy.types.Collection, context: bpy.types.Context, area: bpy.types.Area) -> None:
        """Turn or zoom the view."""
        views.frame_hands(collection, context.scene, area)
