"""Draws skeletons over everything in 3D views: hands that a job finds, measured keypoints, and edited stick hands."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from . import running, watching
from .scene import overlays, stick_hands, stick_overlay, sticks, tree

_WIDTH, _POINT_SIZE = 3.0, 9.0  # pixels at a display scale of 1


@dataclass
class _Handler:
    """The module's state, in one place."""

    handle: object = None


_handler = _Handler()


def _draw() -> None:
    context = bpy.context
    if not context.space_data.overlay.show_overlays:
        return
    lines, line_colors, points, point_colors = [], [], [], []
    for collection in tree.take_collections(context.scene):
        if collection.hide_viewport:
            continue
        for thing in stick_hands.find(collection):
            for whole, part in zip(
                (lines, line_colors, points, point_colors), stick_overlay.lines_of(thing), strict=True
            ):
                whole += part
        now = context.scene.frame_current_final
        found = watching.found_at(running.reconstruction(), collection, now)
        if found is not None:
            hands = sticks.sticks_of(collection, found)
        else:
            hands = sticks.sticks_at(collection, now) if overlays.skeleton_is_shown(collection) else []
        for hand in hands:
            for ends in sticks.BONES:
                lines += [tuple(hand.points[end]) for end in ends]
                line_colors += [hand.color] * 2
    if not lines:
        return
    scale = context.preferences.system.ui_scale
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("ALPHA")
    gpu.state.point_size_set(_POINT_SIZE * scale)
    try:
        _draw_lines(lines, line_colors, _WIDTH * scale, context.region)
        if points:
            shader = gpu.shader.from_builtin("FLAT_COLOR")
            batch_for_shader(shader, "POINTS", {"pos": points, "color": point_colors}).draw(shader)
    finally:
        gpu.state.point_size_set(1.0)
        gpu.state.blend_set("NONE")


def _draw_lines(places: list, colors: list, width: float, region: bpy.types.Region) -> None:
    """Draw lines between pairs of places in the world; ``width`` is in pixels."""
    shader = gpu.shader.from_builtin("POLYLINE_FLAT_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": places, "color": colors})
    shader.bind()
    shader.uniform_float("viewportSize", (region.width, region.height))
    shader.uniform_float("lineWidth", width)
    batch.draw(shader)


def register() -> None:
    """Add the drawing to the 3D views."""
    _handler.handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    """Remove the drawing."""
    if _handler.handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handler.handle, "WINDOW")
        _handler.handle = None
