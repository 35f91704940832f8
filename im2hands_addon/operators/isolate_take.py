"""Operator: show a take alone in a 3D view, or everything again."""

import bpy

from ..scene import views
from .in_view import InView


class Im2HandsIsolateTake(InView, bpy.types.Operator):
    """Show only this take in this view (local view), or everything again. Nothing is hidden in the scene"""

    bl_idname = "im2hands.isolate_take"
    bl_label = "Isolate"

    def show(self, collection: bpy.types.Collection, context: bpy.types.Context, area: bpy.types.Area) -> None:
        """Start or end the local view."""
        views.toggle_alone(collection, context.window, area)
