"""The sidebar's settings of a take. They are not stored: each reads and writes what is in the scene."""

from __future__ import annotations

import bpy

from .errors import AddonError
from .scene import conform, doubt, footage, overlays, shading, status_bar


def _setter(write: object) -> object:
    """A setter that says in the status bar why a take cannot be changed; Blender would print a traceback."""

    def set_value(collection: bpy.types.Collection, value: object) -> None:
        try:
            write(collection, value)
        except AddonError as error:
            status_bar.say(f"Im2Hands: {error}")

    return set_value


def _start_at(collection: bpy.types.Collection, frame: int) -> None:
    conform.start_at(collection, bpy.context.scene, frame)


def _color(collection: bpy.types.Collection, wanted: bool) -> None:
    doubt.color_meshes(collection, wanted)
    shading.show_object_colors(any(doubt.is_colored(one) for one in bpy.data.collections))


_PROPERTIES = {
    "im2hands_start_frame": (
        bpy.props.IntProperty,
        {"name": "Start Frame", "description": "Scene frame of the take's first frame; all its keys move along"},
        conform.start_frame,
        _start_at,
    ),
    "im2hands_rigs": (
        bpy.props.BoolProperty,
        {"name": "Rigs", "description": "Show the rigs of the hands in the viewport"},
        overlays.rigs_are_shown,
        overlays.show_rigs,
    ),
    "im2hands_keypoints": (
        bpy.props.BoolProperty,
        {"name": "Keypoints", "description": "Show the measured keypoints as spheres"},
        overlays.keypoints_are_shown,
        overlays.show_keypoints,
    ),
    "im2hands_skeleton": (
        bpy.props.BoolProperty,
        {
            "name": "Skeleton",
            "description": "Draw the measured keypoints as a skeleton: teal where the hand is sure, orange and red "
            "where it is in doubt",
        },
        overlays.skeleton_is_shown,
        overlays.show_skeleton,
    ),
    "im2hands_footage_opacity": (
        bpy.props.FloatProperty,
        {
            "name": "Footage",
            "description": "Opacity of the pictures behind the hands",
            "min": 0.0,
            "max": 1.0,
            "subtype": "FACTOR",
        },
        footage.opacity,
        footage.set_opacity,
    ),
    "im2hands_colored": (
        bpy.props.BoolProperty,
        {
            "name": "Doubt on the Mesh",
            "description": "Colour the meshes: teal where the hand is sure, orange and red where it is in doubt, "
            "violet where it was filled in. Solid views show it",
        },
        doubt.is_colored,
        _color,
    ),
}


def register() -> None:
    """Register the settings of a take's collection."""
    for name, (kind, words, read, write) in _PROPERTIES.items():
        setattr(bpy.types.Collection, name, kind(**words, options=set(), get=read, set=_setter(write)))


def unregister() -> None:
    """Unregister the settings."""
    for name in reversed(_PROPERTIES):
        delattr(bpy.types.Collection, name)
