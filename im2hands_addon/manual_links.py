"""The manual: F1 over a button or a setting opens the page that the extension brings along."""

from __future__ import annotations

from pathlib import Path

import bpy

_PAGES = Path(__file__).parent / "manual"
_PATTERNS = (
    ("bpy.types.im2handssettings.*", "options.html"),
    ("bpy.ops.im2hands.import_take*", "blender.html#takes-in-the-scene"),
    *(
        (f"bpy.ops.im2hands.{name}*", "blender.html#onto-a-character")
        for name in ("bake_to_rig", "follow_take", "choose_character", "load_bone_map", "save_bone_map")
    ),
    *(
        (f"bpy.ops.im2hands.{name}*", "blender.html#your-keys-above-the-clean-motion")
        for name in ("edit_above_clean", "reclean", "hold_pose", "ease_edits", "mirror_pose", "retime")
    ),
    ("bpy.types.im2handsbakesettings.*", "blender.html#onto-a-character"),
    ("bpy.ops.im2hands.export_take*", "blender.html#into-other-programs"),
    ("bpy.ops.im2hands.*", "blender.html"),
    ("bpy.types.im2handspreferences.*", "blender.html#set-up-the-backend"),
    ("bpy.types.collection.im2hands_*", "blender.html#takes-in-the-scene"),
    ("bpy.types.scene.im2hands_bake*", "blender.html#onto-a-character"),
    ("bpy.types.scene.im2hands*", "blender.html#reconstruct"),
)
"""RNA names in lower case, with * for the rest, and the page about them; the first that fits is opened."""


def links() -> tuple[str, tuple[tuple[str, str], ...]]:
    """The manual as Blender wants it: the address that all pages have in common, and what each is about."""
    return f"{_PAGES.as_uri()}/", _PATTERNS


def register() -> None:
    """Add the manual."""
    bpy.utils.register_manual_map(links)


def unregister() -> None:
    """Remove the manual."""
    bpy.utils.unregister_manual_map(links)
