"""Operators that do nothing: each replaces the undo step of a job by one of what the job has brought by now."""

import bpy

from ..rebuilding import Rebuilding
from ..recleaning import Recleaning
from ..reconstruction import Reconstruction


def _operator(job: type[Reconstruction]) -> type[bpy.types.Operator]:
    """Make the operator of a kind of job; Blender groups the undo steps of operators by a name of the class."""

    def execute(_self: bpy.types.Operator, _context: bpy.types.Context) -> set[str]:
        return {"FINISHED"}

    content = {
        "__doc__": f"Note in the undo history what {job.undo_name} has brought",
        "bl_idname": f"im2hands.{job.undo_operator}",
        "bl_label": job.undo_name,
        "bl_options": {"INTERNAL", "UNDO_GROUPED"},
        "bl_undo_group": job.undo_name,
        "execute": execute,
    }
    return type(f"Im2Hands{job.undo_operator.title().replace('_', '')}", (bpy.types.Operator,), content)


CLASSES = tuple(_operator(job) for job in (Reconstruction, Rebuilding, Recleaning))
