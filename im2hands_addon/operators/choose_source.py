"""Operator: choose the source: one or several photos, a clip, or a folder."""

from pathlib import Path

import bpy


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
        settings = context.scene.im2hands
        folder = Path(bpy.path.abspath(self.directory))
        names = sorted(one.name for one in self.files if one.name)
        settings.source = str(folder / names[0]) if len(names) == 1 else str(folder)
        settings.inputs_source = settings.source
        settings.inputs.clear()
        if len(names) > 1:
            for name in names:
                settings.inputs.add().path = str(folder / name)
        return {"FINISHED"}
