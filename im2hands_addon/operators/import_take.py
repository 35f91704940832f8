"""Operator: import a take from disk into the scene."""

import bpy
from bpy_extras.io_utils import ImportHelper

from .. import api
from ..errors import AddonError
from ..scene import views


class Im2HandsImportTake(bpy.types.Operator, ImportHelper):
    """Import a take: choose its take.json or its folder. A take that is already in the scene is replaced"""

    bl_idname = "im2hands.import_take"
    bl_label = "Import Take"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    filename_ext = ".json"
    filter_glob: bpy.props.StringProperty(default="take.json", options={"HIDDEN"})
    set_scene: bpy.props.BoolProperty(
        name="Set Up Scene",
        description="In an untouched scene, use the take's frame range, frame rate, picture size and camera. "
        "Any other scene stays as it is",
        default=True,
    )

    use_start: bpy.props.BoolProperty(
        name="Start Frame",
        description="Put the take's first frame on a frame of the scene, in place of its own number",
    )
    start_frame: bpy.props.IntProperty(
        name="Start Frame", description="Scene frame of the take's first frame", default=1001
    )
    conform: bpy.props.BoolProperty(
        name="Conform to Scene",
        description="In a scene with another frame rate, put the take's keys at their true times",
    )
    show: bpy.props.BoolProperty(
        name="Show",
        description="Look through the take's camera at its hands, and show it alone where something is in the way",
        default=True,
    )
    surfaces: bpy.props.EnumProperty(
        name="Surfaces",
        description="What to do with the surfaces of each frame",
        items=(
            (
                "AUTO",
                "When Needed",
                "On disk until they are shown; without clean hands the first frames are shown",
            ),
            ("SHOW", "Shown", "Import and show all of them"),
            ("NONE", "Left on Disk", "Import them only when they are shown"),
        ),
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import the take and report what could not be imported."""
        try:
            collection, problems = api.import_take(
                bpy.path.abspath(self.filepath),
                scene=context.scene,
                set_scene=self.set_scene,
                surfaces=self.surfaces,
                timing=api.Timing(self.start_frame if self.use_start else None, self.conform),
            )
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if self.show:
            problems += views.present(collection, context.scene, [context.window] if context.window else None)
        for problem in problems:
            self.report({"WARNING"}, problem)
        self.report({"INFO"}, f"Imported {collection.name}")
        return {"FINISHED"}


def draw_menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """Draw the entry in File > Import."""
    self.layout.operator(Im2HandsImportTake.bl_idname, text="Im2Hands Take (take.json)")
