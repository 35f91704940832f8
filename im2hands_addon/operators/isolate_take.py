"""Operator: show a take alone in a 3D view, or everything again."""

import bpy

from ..scene import views
from ..scene.tree import take_named
from .reporting import finished


class Im2HandsIsolateTake(bpy.types.Operator):
    """Show only this take in this view (local view), or everything again. Nothing is hidden in the scene"""

    bl_idname = "im2hands.isolate_take"
    bl_label = "Isolate"

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection; empty: the first")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a 3D view."""
        return views.view_of(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start or end the local view."""
        area = views.view_of(context)
        return finished(self, lambda: views.toggle_alone(take_named(self.take, context.scene), context.window, area))
