"""Operator: pin a fingertip to the other hand or to an object on some frames."""

import bpy

from .. import api
from ..scene import finger_pins
from ..scene.tree import take_named
from .frame_range import SIDE_ITEMS, FrameRange
from .of_take import has_rigged_take
from .reporting import finished

FINGER_ITEMS = [(finger, finger.title(), f"The {finger} finger") for finger in finger_pins.FINGERS]


class Im2HandsPinFingertip(FrameRange, bpy.types.Operator):
    """From Start to End, the fingertip stays where it is nearest to the other hand or an object on the current frame"""

    bl_idname = "im2hands.pin_fingertip"
    bl_label = "Pin Fingertip"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    side: bpy.props.EnumProperty(name="Hand", description="The hand whose finger is pinned", items=SIDE_ITEMS)
    finger: bpy.props.EnumProperty(
        name="Finger", description="The finger whose tip is pinned", items=FINGER_ITEMS, default="index"
    )
    target: bpy.props.StringProperty(name="To", description="Object that is touched; empty for the other hand")
    blend: bpy.props.IntProperty(
        name="Blend", description="Frames before and after over which the finger goes to the place and back",
        default=3, min=0, max=250,
    )  # fmt: skip

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a take with rigged hands."""
        return has_rigged_take(cls, context)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the options; the object is picked from those of the scene."""
        layout = self.layout
        layout.use_property_split = True
        for name in ("side", "finger"):
            layout.prop(self, name)
        layout.prop_search(self, "target", context.scene, "objects", text="To")
        if not self.target:
            layout.label(text="To the other hand", icon="INFO")
        for name in ("first", "last", "blend"):
            layout.prop(self, name)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the pin."""
        return finished(
            self,
            lambda: api.pin_fingertip(
                take_named(self.take, context.scene), self.side, self.finger, self.first, self.last,
                target=context.scene.objects.get(self.target), blend=self.blend, scene=context.scene,
            ),
        )  # fmt: skip
