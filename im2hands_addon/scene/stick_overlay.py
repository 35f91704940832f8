"""Draws the stick hands that are being edited, a colour a finger, over the picture in the 3D views."""

from __future__ import annotations

import bpy

from . import stick_hands, tree
from .ownership import SIDE

_COLOURS = (
    (0.85, 0.85, 0.85, 1.0), (0.95, 0.45, 0.25, 1.0), (0.95, 0.80, 0.20, 1.0), (0.35, 0.80, 0.35, 1.0),
    (0.25, 0.70, 0.95, 1.0), (0.75, 0.45, 0.95, 1.0),
)  # fmt: skip
"""Of the wrist, then of thumb to little finger."""
_LINE_WIDTH, _POINT_SIZE = 3.0, 9.0
_DARKER = 0.7  # factor on the colours of the right hand

_handles: list[object] = []


def lines_of(thing: bpy.types.Object) -> tuple[list, list, list, list]:
    """Return what is drawn of a stick hand, in world space.

    Parameters
    ----------
    thing : bpy.types.Object
        The stick hand.

    Returns
    -------
    lines, line_colours : list
        Ends of the bones in pairs, and their colours.
    points, point_colours : list
        The keypoints and their colours.
    """
    parent = thing.parent.matrix_world if thing.parent is not None else None
    found = stick_hands.places(thing)
    if len(found) != len(stick_hands.PARENTS):
        return [], [], [], []
    rows = [tuple(parent @ type(thing.location)(row)) if parent is not None else tuple(row) for row in found]
    factor = _DARKER if thing.get(SIDE) == "right" else 1.0
    tints = [(*(factor * part for part in colour[:3]), colour[3]) for colour in _COLOURS]
    colours = [tints[0 if k == 0 else 1 + (k - 1) // 4] for k in range(len(rows))]
    lines, line_colours = [], []
    for k, start in enumerate(stick_hands.PARENTS):
        if start >= 0:
            lines += [rows[start], rows[k]]
            line_colours += [colours[k], colours[k]]
    return lines, line_colours, rows, colours


def _draw() -> None:
    scene = bpy.context.scene
    things = [one for take in tree.take_collections(scene) for one in stick_hands.find(take)]
    if not things:
        return
    import gpu
    from gpu_extras.batch import batch_for_shader

    width, height = bpy.context.region.width, bpy.context.region.height
    gpu.state.depth_test_set("NONE")
    gpu.state.point_size_set(_POINT_SIZE)
    for thing in things:
        lines, line_colours, points, point_colours = lines_of(thing)
        shader = gpu.shader.from_builtin("POLYLINE_SMOOTH_COLOR")
        shader.uniform_float("viewportSize", (width, height))
        shader.uniform_float("lineWidth", _LINE_WIDTH)
        batch_for_shader(shader, "LINES", {"pos": lines, "color": line_colours}).draw(shader)
        dots = gpu.shader.from_builtin("FLAT_COLOR")
        batch_for_shader(dots, "POINTS", {"pos": points, "color": point_colours}).draw(dots)
    gpu.state.point_size_set(1.0)


def register() -> None:
    """Draw in every 3D view."""
    if not bpy.app.background:
        _handles.append(bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW"))


def unregister() -> None:
    """Draw no more."""
    while _handles:
        bpy.types.SpaceView3D.draw_handler_remove(_handles.pop(), "WINDOW")
