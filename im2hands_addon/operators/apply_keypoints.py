"""Operator: end the editing of keypoints."""

import bpy

from .. import api
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsApplyKeypoints(OfTake, bpy.types.Operator):
    """Take the stick hands away. What was dragged becomes a correction, which Rebuild Frames sends to the backend"""

    bl_idname = "im2hands.apply_keypoints"
    bl_label = "Apply"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    discard: bpy.props.BoolProperty(name="Discard", description="Forget what was dragged", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keep or forget what was dragged."""

        def work() -> None:
            names = api.apply_keypoints(take_named(self.take, context.scene), discard=self.discard)
            self.report({"INFO"}, _said(len(names)))

        return finished(self, work)


def _said(count: int) -> str:
    """What was done, for the status bar."""
    return {0: "Nothing was moved", 1: "1 hand corrected"}.get(count, f"{count} hands corrected")
