"""What operators have in common that show a take in a 3D view."""

import bpy

from ..scene import views
from ..scene.tree import take_named
from .reporting import finished


class InView:
    """The take, and the 3D view in which the button was pressed."""

    take: bpy.props.StringProperty(name="Take", description="Name of the take's collection; empty: the first")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a 3D view."""
        return views.view_of(context) is not None

    def show(self, collection: bpy.types.Collection, context: bpy.types.Context, area: bpy.types.Area) -> None:
        """Show the take in the view; each operator has its own."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show the take in the view."""
        area = views.view_of(context)
        return finished(self, lambda: self.show(take_named(self.take, context.scene), context, area))
