"""Operator: export a take's hands or surfaces to a file for another program."""

from pathlib import Path

import bpy
from bpy_extras.io_utils import ExportHelper

from .. import api
from ..errors import AddonError
from ..scene.exporters import FORMATS
from ..scene.tree import take_named
from .of_take import OfTake


class Im2HandsExportTake(OfTake, bpy.types.Operator, ExportHelper):
    """Export the take for another program, with the current smoothing and all changes"""

    bl_idname = "im2hands.export_take"
    bl_label = "Export Take"

    filename_ext = ""
    format: bpy.props.EnumProperty(
        name="Format",
        description="Kind of file to write",
        items=[
            (ending, one.name if len(one.endings) == 1 else f"{one.name} ({ending})", f"Write *{ending}")
            for one in FORMATS
            for ending in one.endings[:2]
        ],
    )
    what: bpy.props.EnumProperty(
        name="What",
        description="What of the take to write",
        items=(
            ("HANDS", "Hands", "Clean meshes with rig and motion (BVH: rigs only, one file per hand)"),
            ("SURFACES", "Surfaces", "Implicit surfaces, a different mesh on every frame (Alembic and USD)"),
        ),
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Open the file browser with the take's name as file name."""
        if not self.filepath:
            name = self.take or "hands"
            self.filepath = str(Path(bpy.path.abspath("//")) / name) if bpy.data.filepath else name
        self.filepath = str(Path(self.filepath).with_suffix(self.format))
        return super().invoke(context, event)

    def check(self, _context: bpy.types.Context) -> bool:
        """Change the ending of the file name to that of the format."""
        path = str(Path(self.filepath).with_suffix(self.format))
        changed = path != self.filepath
        self.filepath = path
        return changed

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Export the take and report the files."""
        try:
            written = api.export_take(take_named(self.take, context.scene), self.filepath, what=self.what)
        except AddonError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"Wrote {', '.join(one.name for one in written)}")
        return {"FINISHED"}
