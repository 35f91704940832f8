"""Makes Solid views show the colours of objects, and gives them back what they showed before."""

from __future__ import annotations

import json

import bpy

_BEFORE = "im2hands_color_types"


def show_object_colors(wanted: bool) -> None:
    """Show the colours of objects in the 3D views of all windows, or what each view showed before.

    A view in which the person has chosen something else since stays as it is.

    Parameters
    ----------
    wanted : bool
        Whether to show the colours of objects.
    """
    for window in bpy.context.window_manager.windows:
        screen = window.screen
        before = json.loads(screen.get(_BEFORE, "{}"))
        for number, area in enumerate(screen.areas):
            if area.type != "VIEW_3D":
                continue
            shading = area.spaces.active.shading
            if wanted and shading.color_type != "OBJECT":
                before[str(number)] = shading.color_type
                shading.color_type = "OBJECT"
            elif not wanted and str(number) in before and shading.color_type == "OBJECT":
                shading.color_type = before[str(number)]
        if wanted:
            screen[_BEFORE] = json.dumps(before)
        elif _BEFORE in screen:
            del screen[_BEFORE]
