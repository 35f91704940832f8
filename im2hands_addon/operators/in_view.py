"""What operators have in common that show a take in a 3D view."""

import bpy

from ..scene import views
from ..scene.tree import take_named
from .of_take import OfTake, there_is_a_take
from .reporting import finished


class InView(OfTake):
    """The take, and the 3D view in which the button was pressed."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a 3D view and a take."""
        if views.view_of(context) is None:
            cls.poll_message_set("There is no 3D view on the screen")
            return False
        return there_is_a_take(cls, context)

    def show(self, collection: bpy.types.Collection, context: bpy.types.Context, area: bpy.types.Area) -> None:
        """Show the take in the view; each operator has its own."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show the take in the view."""
        area = views.view_of(context)
        return finished(self, lambda: self.show(take_named(self.take, context.scene), context, area))
