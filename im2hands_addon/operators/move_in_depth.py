"""Operator: move keypoints that are being edited in depth."""

import bpy

from ..scene import stick_hands
from ..scene.tree import take_named, unit_of
from .of_take import OfTake
from .reporting import finished

_STEP_M, _FINE_M = 0.001, 0.0002  # metres a step of the wheel


class Im2HandsMoveInDepth(OfTake, bpy.types.Operator):
    """Move the selected keypoints away from the camera, so that they stay at their places in the picture"""

    bl_idname = "im2hands.move_in_depth"
    bl_label = "Move in Depth"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    distance: bpy.props.FloatProperty(
        name="Distance",
        description="Away from the camera, in units of the scene; negative: towards it",
        unit="LENGTH",
        default=0.005,
        soft_min=-0.1,
        soft_max=0.1,
        precision=4,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled while keypoints are edited."""
        if context.mode != "EDIT_MESH":
            cls.poll_message_set("Start Edit Keypoints and select keypoints")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Move the selected keypoints."""

        def work() -> None:
            metres = self.distance * unit_of(context.scene)
            if not stick_hands.move_in_depth(take_named(self.take, context.scene), metres):
                self.report({"WARNING"}, "No keypoint is selected")

        return finished(self, work)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Move the selected keypoints with the mouse wheel until a click."""
        if bpy.app.background:
            return self.execute(context)
        if finished(self, lambda: take_named(self.take, context.scene)) == {"CANCELLED"}:
            return {"CANCELLED"}
        self.distance = 0.0
        context.workspace.status_text_set("Wheel: 1 mm in depth, with Shift 0.2 mm. Click: keep. Esc: cancel.")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Follow the wheel."""
        collection = take_named(self.take, context.scene)
        if event.type in ("WHEELUPMOUSE", "WHEELDOWNMOUSE"):
            step = (_FINE_M if event.shift else _STEP_M) * (1 if event.type == "WHEELUPMOUSE" else -1)
            stick_hands.move_in_depth(collection, step)
            self.distance += step / unit_of(context.scene)
            return {"RUNNING_MODAL"}
        if event.type in ("ESC", "RIGHTMOUSE"):
            stick_hands.move_in_depth(collection, -self.distance * unit_of(context.scene))
            context.workspace.status_text_set(None)
            return {"CANCELLED"}
        if event.type in ("LEFTMOUSE", "RET", "NUMPAD_ENTER") and event.value == "PRESS":
            context.workspace.status_text_set(None)
            return {"FINISHED"}
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for example because another file is opened."""
        context.workspace.status_text_set(None)
