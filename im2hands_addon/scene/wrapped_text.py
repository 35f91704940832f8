"""Draws a text over as many lines as the panel needs, because Blender cuts a label off at the panel's edge."""

from __future__ import annotations

import textwrap

import bpy

# Pixels at a display scale of 1: the mean width of a letter, and the room for the icon and the edges.
_LETTER = 6.2
_AROUND = 30.0
_FEWEST = 20  # letters in a line of the narrowest panel
_USUAL = 42  # letters in a line of the sidebar, where the width is not known


def line_length(context: bpy.types.Context) -> int:
    """Return the number of letters that fit into one line of the region that is drawn.

    Parameters
    ----------
    context : bpy.types.Context
        The context of the drawing.

    Returns
    -------
    int
        The number of letters.
    """
    region = getattr(context, "region", None)
    if region is None or region.width <= 1:
        return _USUAL
    width = region.width / (context.preferences.system.ui_scale or 1.0)  # 0 without a display
    return max(_FEWEST, int((width - _AROUND) / _LETTER))


def draw_wrapped(layout: bpy.types.UILayout, text: str, icon: str, context: bpy.types.Context) -> None:
    """Draw a text over as many lines as it needs.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    text : str
        The text; its line ends are kept.
    icon : str
        Icon of the first line.
    context : bpy.types.Context
        The context of the drawing; it gives the width.
    """
    column = layout.column(align=True)
    length = line_length(context)
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, length)]
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")
