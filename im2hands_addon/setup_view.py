"""What sidebar and preferences show of the backend's installation and its check."""

from __future__ import annotations

import bpy

from . import running
from .scene.wrapped_text import draw_wrapped


def draw_task(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Draw the check or the installation that runs; else the button that installs.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    context : bpy.types.Context
        The context of the drawing.
    """
    task = running.task()
    if task is None or task.has_ended:
        layout.operator("im2hands.install_backend", icon="IMPORT")
        return
    row = layout.row(align=True)
    if task.name == "Check":
        row.label(text="Checking, up to half a minute", icon="TIME")
    else:
        row.progress(factor=task.fraction, text=task.title)
    row.operator("im2hands.cancel_task", text="", icon="X")
    if task.name != "Check" and task.lines:
        draw_wrapped(layout, task.lines[-1], "NONE", context)


def draw_findings(layout: bpy.types.UILayout, context: bpy.types.Context, *, all_of_them: bool = False) -> None:
    """Draw what the last check or installation found: what is wrong, and how much is in order.

    Parameters
    ----------
    layout : bpy.types.UILayout
        Where to draw.
    context : bpy.types.Context
        The context of the drawing.
    all_of_them : bool
        Whether to list also what is in order.
    """
    found = running.findings()
    for finding in found:
        if all_of_them or not finding.ok:
            draw_wrapped(layout, finding.text, "CHECKMARK" if finding.ok else "ERROR", context)
    in_order = sum(finding.ok for finding in found)
    if found and not all_of_them:
        if len(found) == 1 and in_order:
            draw_wrapped(layout, found[0].text, "CHECKMARK", context)
        elif in_order:
            layout.label(text=f"{in_order} of {len(found)} are in order", icon="CHECKMARK")
