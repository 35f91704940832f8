"""Operator: write the keypoints of an armature's hands as a keypoint file."""

from pathlib import Path

import bpy
from bpy_extras.io_utils import ExportHelper

from .. import api
from ..bone_maps import bundled_maps
from ..errors import AddonError
from .of_take import armature_names


class Im2HandsKeypointsFromRig(bpy.types.Operator, ExportHelper):
    """Write the 21 keypoints of the active armature's hands, as the scene's camera sees them"""

    bl_idname = "im2hands.keypoints_from_rig"
    bl_label = "Keypoints from Rig"

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})
    rig: bpy.props.StringProperty(
        name="Rig", description="Name of the armature; empty: the active object", search=armature_names
    )
    bone_map: bpy.props.EnumProperty(
        name="Bone Names",
        description="Which names the bones of the rig have",
        items=[
            ("AUTO", "Automatic", "The map that fits best"),
            *((one.identifier, one.name, one.note) for one in bundled_maps()),
        ],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write the file and report what is in it."""
        rig = bpy.data.objects.get(self.rig) if self.rig else context.active_object
        try:
            written = api.write_rig_keypoints(rig, Path(self.filepath), bone_map=self.bone_map, scene=context.scene)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        camera = "" if written.camera is None else ", with the camera beside it"
        self.report({"INFO"}, f"Wrote {' and '.join(written.hands)} hand of {written.frames} frames{camera}")
        return {"FINISHED"}
