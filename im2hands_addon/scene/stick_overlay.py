"""What is drawn of the stick hands that are being edited: their bones and keypoints, a colour a finger."""

from __future__ import annotations

import bpy

from ..take.reader import KEYPOINT_COUNT
from . import stick_hands
from .ownership import SIDE
from .sticks import BONES

_COLOURS = (
    (0.85, 0.85, 0.85, 1.0), (0.95, 0.45, 0.25, 1.0), (0.95, 0.80, 0.20, 1.0), (0.35, 0.80, 0.35, 1.0),
    (0.25, 0.70, 0.95, 1.0), (0.75, 0.45, 0.95, 1.0),
)  # fmt: skip
"""Of the wrist, then of thumb to little finger."""
_DARKER = 0.7  # factor on the colours of the right hand


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
    if len(found) != KEYPOINT_COUNT:
        return [], [], [], []
    rows = [tuple(parent @ type(thing.location)(row)) if parent is not None else tuple(row) for row in found]
    factor = _DARKER if thing.get(SIDE) == "right" else 1.0
    tints = [(*(factor * part for part in colour[:3]), colour[3]) for colour in _COLOURS]
    colours = [tints[0 if k == 0 else 1 + (k - 1) // 4] for k in range(len(rows))]
    lines, line_colours = [], []
    for start, end in BONES:
        lines += [rows[start], rows[end]]
        line_colours += [colours[end], colours[end]]
    return lines, line_colours, rows, colours
