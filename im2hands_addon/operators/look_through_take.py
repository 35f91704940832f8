"""Operator: look through a take's camera."""

import bpy

from ..scene import views
from .in_view import InView


class Im2HandsLookThroughTake(InView, bpy.types.Operator):
    """Look through the take's camera, with the whole picture in sight. The scene's camera stays"""

    bl_idname = "im2hands.look_through_take"
    bl_label = "Camera"

    def show(self, collection: bpy.types.Collection, context: bpy.types.Context, area: bpy.types.Area) -> None:
        """Look through the camera."""
        views.look_through(collection, context.scene, area)
