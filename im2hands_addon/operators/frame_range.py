"""What operators have in common that correct a range of frames of a take."""

import bpy

from ..scene import corrections
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class FrameRange(OfTake):
    """The take and the frames from Start to End; a button begins with the current frame."""

    first: bpy.props.IntProperty(name="Start", description="First frame, as the take counts them", min=0)
    last: bpy.props.IntProperty(name="End", description="Last frame, as the take counts them", min=0)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the range."""

        def work() -> None:
            collection = take_named(self.take, context.scene)
            self.first, self.last = self._begin(collection, corrections.frame_in_view(collection, context.scene))

        if finished(self, work) == {"CANCELLED"}:
            return {"CANCELLED"}
        return context.window_manager.invoke_props_dialog(self)

    def _begin(self, _collection: bpy.types.Collection, frame: int) -> tuple[int, int]:
        """The first and the last frame to begin with, from the current frame."""
        return frame, frame


SIDE_ITEMS = (("left", "Left", "The person's left hand"), ("right", "Right", "The person's right hand"))
"""Values of a property for the side of a hand."""
