"""Operator and menu: fill the table of bone names from a map."""

from pathlib import Path

import bpy

from ..bake_settings import TABLE, fill_table
from ..bone_maps import bundled_maps, find_map
from ..locations import bone_map_presets
from .reporting import finished


class Im2HandsLoadBoneMap(bpy.types.Operator):
    """Fill the table with the bones of the character that this map finds; they can then be changed"""

    bl_idname = "im2hands.load_bone_map"
    bl_label = "Fill Table"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    chosen: bpy.props.StringProperty(
        name="Map", description='"AUTO", the identifier of a bundled map, or a map file', default="AUTO"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where a character is chosen."""
        if context.scene.im2hands_bake.target is None:
            cls.poll_message_set("Choose the character first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fill the table."""
        settings = context.scene.im2hands_bake

        def work() -> None:
            found = find_map(self.chosen, settings.target.data.bones.keys())
            fill_table(settings, found[1])
            settings.bone_map, settings.map_name = TABLE, found[0].name
            if context.area is not None:
                context.area.tag_redraw()

        return finished(self, work)


class Im2HandsBoneMapMenu(bpy.types.Menu):
    """The maps that fill the table: those of the add-on, and saved tables."""

    bl_idname = "IM2HANDS_MT_bone_maps"
    bl_label = "Fill Table"

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw an entry for each map."""
        self.layout.operator("im2hands.load_bone_map", text="Automatic").chosen = "AUTO"
        for one in bundled_maps():
            self.layout.operator("im2hands.load_bone_map", text=one.name).chosen = one.identifier
        for path in saved_maps():
            self.layout.operator("im2hands.load_bone_map", text=path.stem, icon="PRESET").chosen = str(path)


def saved_maps() -> list[Path]:
    """The saved tables, by name."""
    return sorted(bone_map_presets().glob("*.json"))


CLASSES = (Im2HandsLoadBoneMap, Im2HandsBoneMapMenu)
