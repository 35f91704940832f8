"""Operator: choose the source: one or several photos, a clip, or a folder."""

import bpy

from ..properties import set_source
from ..scene.sources import of_files


class Im2HandsChooseSource(bpy.types.Operator):
    """Choose photos or a clip. For a whole folder, open it and select no file"""

    bl_idname = "im2hands.choose_source"
    bl_label = "Choose Source"
    bl_options = {"INTERNAL", "UNDO"}  # noqa: RUF012

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"SKIP_SAVE", "HIDDEN"})
    files: bpy.props.CollectionProperty(type=bpy.types.OperatorFileListElement, options={"SKIP_SAVE", "HIDDEN"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_movie: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Open the file browser."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Store the choice in the scene's settings."""
        set_source(context.scene.im2hands, of_files(self.directory, self.files))
        return {"FINISHED"}
