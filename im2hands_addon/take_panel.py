"""Parts of the panel "Takes": how a take is seen, and its place in time."""

from __future__ import annotations

import bpy

from .scene import clean, conform, footage, markers, scene_settings, views
from .scene.ownership import is_local

_SHOWN_RUNS = 8


def draw_view(layout: bpy.types.UILayout, collection: bpy.types.Collection, context: bpy.types.Context) -> None:
    """Draw the buttons of the view and the overlays of a take.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    collection : bpy.types.Collection
        The take's collection.
    context : bpy.types.Context
        The context of the drawing.
    """
    row = layout.row(align=True)
    row.operator("im2hands.look_through_take", text="Camera", icon="VIEW_CAMERA").take = collection.name
    row.operator("im2hands.frame_hands", text="Frame", icon="ZOOM_SELECTED").take = collection.name
    space = context.space_data if isinstance(context.space_data, bpy.types.SpaceView3D) else None
    alone = views.is_alone(collection, space, context.view_layer)
    text, icon = ("Show All", "HIDE_OFF") if alone else ("Isolate", "SOLO_ON")
    row.operator("im2hands.isolate_take", text=text, icon=icon).take = collection.name
    column = layout.column(align=True)
    column.enabled = is_local(collection)
    row = column.row(align=True)
    if clean.rigs(collection):
        row.prop(collection, "im2hands_rigs", toggle=True)
    row.prop(collection, "im2hands_keypoints", toggle=True)
    row.prop(collection, "im2hands_skeleton", toggle=True)
    column.prop(collection, "im2hands_colored", toggle=True)
    if footage.has_footage(collection):
        column.prop(collection, "im2hands_footage_opacity", slider=True)


def draw_timing(layout: bpy.types.UILayout, collection: bpy.types.Collection, scene: bpy.types.Scene) -> None:
    """Draw the start frame, and buttons that fit the take to the scene or the scene to the take where they do not fit.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene
        The scene.
    """
    column = layout.column(align=True)
    column.enabled = is_local(collection)
    column.prop(collection, "im2hands_start_frame")
    if scene_settings.fits(scene, collection) and not conform.is_conformed(collection):
        return
    row = column.row(align=True)
    if not (scene_settings.has_rate_of(scene, collection) or conform.is_conformed_to(collection, scene)):
        row.operator("im2hands.conform_to_scene", icon="TIME").take = collection.name
    row.operator("im2hands.set_scene_to_take", icon="SCENE_DATA").take = collection.name


def draw_doubts(layout: bpy.types.UILayout, collection: bpy.types.Collection) -> None:
    """Draw the doubtful frames of a take.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    collection : bpy.types.Collection
        The take's collection.
    """
    runs = markers.read_runs(collection)
    if not runs:
        return
    row = layout.row(align=True)
    row.operator("im2hands.doubtful_frame", text="Previous", icon="PREV_KEYFRAME").backwards = True
    row.operator("im2hands.doubtful_frame", text="Next Doubtful", icon="NEXT_KEYFRAME").backwards = False
    column = layout.column(align=True)
    for first, last, doubt in runs[:_SHOWN_RUNS]:
        text = f"{first}: {doubt}" if first == last else f"{first}-{last}: {doubt}"
        column.operator("im2hands.go_to_frame", text=text, icon="MARKER_HLT").frame = round(
            conform.to_scene(collection, first)
        )
    if len(runs) > _SHOWN_RUNS:
        layout.label(text=f"and {len(runs) - _SHOWN_RUNS} more, see the timeline's markers")
