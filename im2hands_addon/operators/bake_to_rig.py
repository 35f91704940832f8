"""Operator: key a take's hands on the rig of a character."""

import bpy

from .. import api
from ..bake_settings import bake_properties, options_of
from ..errors import AddonError
from ..scene.tree import take_named
from .choose_character import character_names
from .of_take import OfTake


class Im2HandsBakeToRig(OfTake, bpy.types.Operator):
    """Key the take's hand and finger rotations on the rig of a character"""

    bl_idname = "im2hands.bake_to_rig"
    bl_label = "Bake to Rig"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    target: bpy.props.StringProperty(
        name="Target", description="Name of the armature; empty: the active object", search=character_names
    )
    map_file: bpy.props.StringProperty(
        name="Own Map", description="Your own bone map (json), used instead", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Bake the hands and report what was keyed and what was not."""
        target = bpy.data.objects.get(self.target) if self.target else context.active_object
        options = options_of(self, context.scene)
        if self.map_file:
            options["bone_map"] = bpy.path.abspath(self.map_file)
        try:
            baked = api.bake_to_rig(take_named(self.take, context.scene), target, **options)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, baked.told(target.name))
        return {"FINISHED"}


Im2HandsBakeToRig.__annotations__.update(bake_properties())
