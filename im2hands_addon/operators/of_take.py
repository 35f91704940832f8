"""What operators have in common that work on a take: which one, and that there is one."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from ..scene import clean, tree
from ..scene.ownership import is_local


def names_with(text: str, things: Iterable[bpy.types.ID]) -> list[str]:
    """The names of things that contain a text; upper and lower case are the same."""
    return [one.name for one in things if text.lower() in one.name.lower()]


def take_names(_operator: bpy.types.Operator, context: bpy.types.Context, text: str) -> list[str]:
    """The names of the takes in the scene that contain a text, for the field's list."""
    return names_with(text, tree.take_collections(context.scene))


def armature_names(_operator: bpy.types.Operator, context: bpy.types.Context, text: str) -> list[str]:
    """The names of the armatures in the scene that contain a text, for the field's list."""
    return names_with(text, (one for one in context.scene.objects if one.type == "ARMATURE"))


def there_is_a_take(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether the scene has a take; else the operator says so.

    Parameters
    ----------
    operator : type of bpy.types.Operator
        The operator's class.
    context : bpy.types.Context
        The context of its ``poll``.
    """
    if context.scene is None or not tree.take_collections(context.scene):
        operator.poll_message_set("There is no take in this scene: reconstruct or import one")
        return False
    return True


def has_rigged_take(operator: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether the scene has a take with rigged hands that may be changed; else the operator says so.

    Parameters
    ----------
    operator : type of bpy.types.Operator
        The operator's class.
    context : bpy.types.Context
        The context of its ``poll``.
    """
    if not any(is_local(one) for one in clean.rigged_takes(context.scene)):
        operator.poll_message_set("There is no take with rigged hands in this file")
        return False
    return True


class OfTake:
    """The take that an operator works on."""

    take: bpy.props.StringProperty(
        name="Take", description="Name of the take's collection; empty: the first", search=take_names
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Enabled where there is a take."""
        return there_is_a_take(cls, context)
