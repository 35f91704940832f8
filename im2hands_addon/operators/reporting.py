"""Run the work of an operator and report its errors."""

from collections.abc import Callable

import bpy

from ..errors import AddonError


def finished(operator: bpy.types.Operator, work: Callable[[], object]) -> set[str]:
    """Run the work of an operator; an error of the add-on becomes a report.

    Parameters
    ----------
    operator : bpy.types.Operator
        The operator that reports.
    work : callable
        The work, without arguments.

    Returns
    -------
    set of str
        What ``execute`` returns: {"FINISHED"}, or {"CANCELLED"} after an error.
    """
    try:
        work()
    except AddonError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}
