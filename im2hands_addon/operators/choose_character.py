"""Operator and menu: choose the armature that hands are baked onto."""

import bpy

from ..scene.ownership import ROLE
from .of_take import names_with


def characters(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The armatures of a scene, without those of takes."""
    return [one for one in scene.objects if one.type == "ARMATURE" and ROLE not in one]


def character_names(_operator: bpy.types.Operator, context: bpy.types.Context, text: str) -> list[str]:
    """The names of these armatures that contain a text, for the field's list."""
    return names_with(text, characters(context.scene))


class Im2HandsChooseCharacter(bpy.types.Operator):
    """Bake onto this armature"""

    bl_idname = "im2hands.choose_character"
    bl_label = "Choose Character"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    target: bpy.props.StringProperty(
        name="Character", description="Name of the armature; empty: the active object", search=character_names
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set the character of the scene."""
        target = bpy.data.objects.get(self.target) if self.target else context.active_object
        if target is None or target not in characters(context.scene):
            self.report({"ERROR"}, "The character must be an armature of this scene. Select it.")
            return {"CANCELLED"}
        context.scene.im2hands_bake.target = target
        if context.area is not None:
            context.area.tag_redraw()
        return {"FINISHED"}


class Im2HandsCharacterMenu(bpy.types.Menu):
    """The armatures of the scene."""

    bl_idname = "IM2HANDS_MT_characters"
    bl_label = "Character"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw an entry for each armature."""
        found = characters(context.scene)
        if not found:
            self.layout.label(text="The scene has no armature but those of takes", icon="INFO")
        for one in found:
            self.layout.operator("im2hands.choose_character", text=one.name, icon="ARMATURE_DATA").target = one.name


CLASSES = (Im2HandsChooseCharacter, Im2HandsCharacterMenu)
