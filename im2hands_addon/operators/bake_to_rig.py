"""Operator: key a take's hands on the rig of a character."""

import bpy

from .. import api
from ..bone_maps import bundled_maps
from ..errors import AddonError
from ..scene.tree import take_named
from .of_take import OfTake, armature_names


class Im2HandsBakeToRig(OfTake, bpy.types.Operator):
    """Key the take's hand and finger rotations on the active armature"""

    bl_idname = "im2hands.bake_to_rig"
    bl_label = "Bake to Rig"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    target: bpy.props.StringProperty(
        name="Target", description="Name of the armature; empty: the active object", search=armature_names
    )
    bone_map: bpy.props.EnumProperty(
        name="Bone Names",
        description="Which names the bones of the character have",
        items=[
            ("AUTO", "Automatic", "The map that fits best"),
            *((one.identifier, one.name, one.note) for one in bundled_maps()),
        ],
    )
    map_file: bpy.props.StringProperty(
        name="Own Map", description="Your own bone map (json), used instead", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    wrist: bpy.props.BoolProperty(
        name="Turn Wrists",
        description="Also rotate the hands, and place them where an arm is in IK; otherwise only the fingers move",
        default=True,
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Bake the hands and report what was keyed and what was not."""
        target = bpy.data.objects.get(self.target) if self.target else context.active_object
        chosen = bpy.path.abspath(self.map_file) or self.bone_map
        try:
            baked = api.bake_to_rig(
                take_named(self.take, context.scene), target, bone_map=chosen, wrist=self.wrist, scene=context.scene
            )
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, baked.told(target.name))
        return {"FINISHED"}
