"""Operator: convert a take's rotation curves to Euler angles or quaternions."""

import bpy

from .. import api
from ..scene.rotation_modes import MODES
from ..scene.tree import take_named
from .of_take import OfTake
from .reporting import finished


class Im2HandsSetRotationMode(OfTake, bpy.types.Operator):
    """Convert the rotation curves of the take's rigs to this mode; the motion stays the same"""

    bl_idname = "im2hands.set_rotation_mode"
    bl_label = "Set Rotation Mode"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    mode: bpy.props.EnumProperty(
        name="Mode",
        description="Kind of the rotation curves",
        items=[
            (mode, "Quaternion" if mode == "QUATERNION" else f"{mode} Euler", "Rotations of this kind")
            for mode in MODES
        ],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Convert the curves."""
        return finished(self, lambda: api.set_rotation_mode(take_named(self.take, context.scene), self.mode))
