"""How an operator tells a person that its work cannot be done."""

from collections.abc import Callable

import bpy

from ..errors import AddonError


def finished(operator: bpy.types.Operator, work: Callable[[], object]) -> set[str]:
    """Do the work of an operator; an error is reported, and what ``execute`` returns says how it went."""
    try:
        work()
    except AddonError as error:
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    return {"FINISHED"}
