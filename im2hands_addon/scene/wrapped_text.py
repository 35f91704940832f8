"""Draws a text over as many lines as the panel needs, because Blender cuts a label off at the panel's edge."""

from __future__ import annotations

from collections.abc import Callable

import blf
import bpy

# At a display scale of 1, pixels: what icon, tabs, scrollbar and a box take from the width of a region. A label without
# a box was seen to be cut at less than 78.
_AROUND = 94.0
_LEAST = 100.0  # room in the narrowest panel
_USUAL = 200.0  # room in the sidebar, where the width of the region is not known
_FONT = 0  # number of Blender's own font


def room(context: bpy.types.Context, width: float | None = None) -> float:
    """Return the width that a line of text has in the region that is drawn.

    Parameters
    ----------
    context : bpy.types.Context
        The context of the drawing.
    width : float, optional
        Width of the dialog that is drawn instead, at a display scale of 1, pixels.

    Returns
    -------
    float
        The width, pixels.
    """
    scale = _scale(context)
    if width is not None:
        return (width - _AROUND) * scale
    region = getattr(context, "region", None)
    if region is None or region.width <= 1:
        return _USUAL * scale
    return max(_LEAST * scale, region.width - _AROUND * scale)


def wrapped(text: str, context: bpy.types.Context, width: float | None = None) -> list[str]:
    """Break a text into lines that fit into the region that is drawn.

    Parameters
    ----------
    text : str
        The text; its line ends are kept.
    context : bpy.types.Context
        The context of the drawing.
    width : float, optional
        As for :func:`room`.

    Returns
    -------
    list of str
        The lines. Only a word that is too long for a line, such as a path, is broken.
    """
    points = context.preferences.ui_styles[0].widget.points
    blf.size(_FONT, points * _scale(context))
    most = room(context, width)

    def fits(line: str) -> bool:
        return bool(blf.dimensions(_FONT, line)[0] <= most)

    return [line for part in text.splitlines() for line in _lines(part.split(), fits)]


def draw_wrapped(
    layout: bpy.types.UILayout, text: str, icon: str, context: bpy.types.Context, *, width: float | None = None
) -> None:
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
    width : float, optional
        Width of the dialog that is drawn, at a display scale of 1, pixels.
    """
    column = layout.column(align=True)
    for number, line in enumerate(wrapped(text, context, width)):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")


def _lines(words: list[str], fits: Callable[[str], bool]) -> list[str]:
    lines: list[str] = []
    for word in words:
        rest = word
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
            continue
        while not fits(rest):
            count = max((k for k in range(1, len(rest)) if fits(rest[:k])), default=1)
            if count >= len(rest):
                break
            lines.append(rest[:count])
            rest = rest[count:]
        lines.append(rest)
    return lines


def _scale(context: bpy.types.Context) -> float:
    return context.preferences.system.ui_scale or 1.0  # 0 without a display
