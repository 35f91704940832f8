"""What the operators have in common that edit a range of frames above the clean motion."""

import bpy

from ..errors import AddonError
from ..scene.tree import take_named
from .frame_range import SIDE_ITEMS
from .of_take import OfTake, has_rigged_take
from .reporting import finished

BONE_ITEMS = (
    ("FINGERS", "Fingers", "The fingers alone"),
    ("ALL", "Whole Hand", "The wrist too, and the place of the hand in space"),
    ("SELECTED", "Selected Bones", "The bones that are selected in Pose Mode"),
)
"""Values of a property for the bones that a tool works on."""


class MotionRange(OfTake):
    """The take, the hands and the frames from Start to End; a button begins around the current frame."""

    side: bpy.props.EnumProperty(
        name="Hand", items=(("both", "Both", "Both hands"), *SIDE_ITEMS), description="The hands that are edited"
    )
    first: bpy.props.IntProperty(name="Start", description="First frame of the scene")
    last: bpy.props.IntProperty(name="End", description="Last frame of the scene")

    reach = 10
    """How many frames before and after the current one a button begins with."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a take with rigged hands."""
        return has_rigged_take(cls, context)

    @property
    def sides(self) -> tuple[str, ...]:
        """The hands that are edited."""
        return ("left", "right") if self.side == "both" else (self.side,)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the range; that of the preview if there is one, else around the current frame."""
        scene = context.scene
        if scene.use_preview_range:
            self.first, self.last = scene.frame_preview_start, scene.frame_preview_end
        else:
            self.first, self.last = scene.frame_current - self.reach, scene.frame_current + self.reach
        for name in ("frame", "to"):  # some of the operators have them
            if getattr(self, name, None) is not None:
                setattr(self, name, scene.frame_current)
        return context.window_manager.invoke_props_dialog(self)

    def edit(self, collection: bpy.types.Collection) -> None:
        """Edit the motion of a take; each operator has its own."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Edit the motion."""
        try:
            collection = take_named(self.take, context.scene)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        done = finished(self, lambda: self.edit(collection))
        context.scene.frame_set(context.scene.frame_current)
        return done
