"""Operator: save the table of bone names as a preset."""

import bpy

from ..bake_settings import table_map
from ..bone_maps import write_map
from ..errors import InputError
from ..locations import bone_map_presets
from .reporting import finished


class Im2HandsSaveBoneMap(bpy.types.Operator):
    """Save the table as a preset, which Fill Table offers from now on"""

    bl_idname = "im2hands.save_bone_map"
    bl_label = "Save Table"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where the table names a bone."""
        if not any(row.left or row.right for row in context.scene.im2hands_bake.rows):
            cls.poll_message_set("The table is empty")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write the preset."""
        settings = context.scene.im2hands_bake

        def work() -> None:
            name = bpy.path.clean_name(settings.map_name.strip())
            if not name.strip("_"):
                raise InputError("The table has no name.", "Give it one.")
            path = bone_map_presets() / f"{name}.json"
            write_map(path, table_map(settings))
            self.report({"INFO"}, f"Saved as {path}")

        return finished(self, work)
