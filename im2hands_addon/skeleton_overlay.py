"""Draws the measured keypoints of takes as skeletons in the colours of doubt, over everything, in 3D views."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from .scene import overlays, sticks, tree

_WIDTH = 3.0  # pixels at a display scale of 1


@dataclass
class _Handler:
    """The module's state, in one place."""

    handle: object = None


_handler = _Handler()


def _draw() -> None:
    context = bpy.context
    if not context.space_data.overlay.show_overlays:
        return
    places, colors = [], []
    for collection in tree.take_collections(context.scene):
        if collection.hide_viewport or not overlays.skeleton_is_shown(collection):
            continue
        for hand in sticks.sticks_at(collection, context.scene.frame_current_final):
            for ends in sticks.BONES:
                places += [tuple(hand.points[end]) for end in ends]
                colors += [hand.color] * 2
    if not places:
        return
    shader = gpu.shader.from_builtin("POLYLINE_FLAT_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": places, "color": colors})
    shader.bind()
    region = context.region
    shader.uniform_float("viewportSize", (region.width, region.height))
    shader.uniform_float("lineWidth", _WIDTH * context.preferences.system.ui_scale)
    gpu.state.blend_set("ALPHA")
    try:
        batch.draw(shader)
    finally:
        gpu.state.blend_set("NONE")


def register() -> None:
    """Add the drawing to the 3D views."""
    _handler.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    """Remove the drawing."""
    if _handler.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handler.handle, "WINDOW")
        _handler.handle = None
