"""The footage of a take: behind the hands in the camera's view, or in space in every view, never twice."""

from __future__ import annotations

import bpy

from ..errors import InputError
from ..take.reader import Take
from . import background, footage_cards, tree
from .ownership import require_local, role_of
from .shots import load_shots


def write_footage(collection: bpy.types.Collection, take: Take, distance: float) -> list[str]:
    """Show the take's pictures behind the hands, in place of what was behind them before.

    The camera's animation must have been written before (:func:`.camera.set_lenses`): curves are added to it.

    Args:
        distance: from the camera to the footage in space, metres.

    Returns:
        For a person: what could not be shown.
    """
    camera = tree.find_object(collection, "camera")
    footage_cards.remove_cards(collection)
    background.clear(camera.data)
    shots, problems = load_shots(take)
    background.write_background(camera.data, shots, take.camera, take.step)
    footage_cards.write_cards(collection, camera, shots, take.step, distance)
    camera.data.show_background_images = bool(shots) and not footage_is_in_space(collection)
    return problems


def has_footage(collection: bpy.types.Collection) -> bool:
    """Whether a take has pictures to show."""
    place = tree.child(collection, tree.FOOTAGE)
    return place is not None and any(role_of(one) == footage_cards.CARD for one in place.objects)


def footage_is_in_space(collection: bpy.types.Collection) -> bool:
    """Whether the footage is seen in space rather than through the take's camera alone."""
    return has_footage(collection) and not tree.child(collection, tree.FOOTAGE).hide_viewport


def show_footage(collection: bpy.types.Collection, shown: bool = True) -> None:
    """Show the footage in space, in every view, or behind the hands in the view of the take's camera alone.

    Raises:
        InputError: the collection is linked from another file, or the take has no footage in this file.
    """
    require_local(collection)
    if not has_footage(collection):
        raise InputError(
            f"{collection.name} has no footage in this file.", "Put its pictures where they were, and import it again."
        )
    tree.child(collection, tree.FOOTAGE).hide_viewport = not shown
    camera = tree.find_object(collection, "camera")
    if camera is not None:
        camera.data.show_background_images = not shown
