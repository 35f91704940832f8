"""The footage of a take: visible in the camera's view only, or in space in every view; never both."""

from __future__ import annotations

import bpy

from ..errors import InputError
from ..take.reader import Take
from . import background, footage_cards, tree
from .ownership import require_local, role_of
from .shots import load_shots


def write_footage(collection: bpy.types.Collection, take: Take, distance: float) -> list[str]:
    """Replace the footage behind the hands.

    Call ``camera.set_lenses`` first: this function adds curves to the camera's animation, and that one replaces it.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    take : Take
        The take.
    distance : float
        Distance from the camera to the footage in space, metres.

    Returns
    -------
    list of str
        Messages about what cannot be shown.
    """
    camera = tree.find_object(collection, "camera")
    before = opacity(collection)
    # Loaded first: pictures that stay must be the same data-blocks. Blender 4.3 crashes when two undo steps in a row
    # exchange the picture behind a camera.
    there = set(bpy.data.images)
    shots, problems = load_shots(take)
    for image in there & {shot.image for shot in shots}:
        image.reload()  # its file may have changed since
    footage_cards.remove_cards(collection, [shot.image for shot in shots])
    background.clear(camera.data, [shot.image for shot in shots])
    background.write_background(camera.data, shots, take.camera)
    footage_cards.write_cards(collection, camera, shots, distance)
    camera.data.show_background_images = bool(shots) and not footage_is_in_space(collection)
    set_opacity(collection, before)
    return problems


def has_footage(collection: bpy.types.Collection) -> bool:
    """Whether the take has footage in this file."""
    place = tree.child(collection, tree.FOOTAGE)
    return place is not None and any(role_of(one) == footage_cards.CARD for one in place.objects)


def footage_is_in_space(collection: bpy.types.Collection) -> bool:
    """Whether the footage is shown in space, not only through the take's camera."""
    return has_footage(collection) and not tree.child(collection, tree.FOOTAGE).hide_viewport


def show_footage(collection: bpy.types.Collection, shown: bool = True) -> None:
    """Show the footage in space, or only through the take's camera.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        True to show it in space, in every view; False to show it only in the view of the take's camera.

    Raises
    ------
    InputError
        The collection is linked from another file, or the take has no footage in this file.
    """
    require_local(collection)
    if not has_footage(collection):
        raise InputError(
            f"{collection.name} has no footage in this file.",
            "Put its pictures back in their place and import it again.",
        )
    tree.child(collection, tree.FOOTAGE).hide_viewport = not shown
    camera = tree.find_object(collection, "camera")
    if camera is not None:
        camera.data.show_background_images = not shown


def opacity(collection: bpy.types.Collection) -> float:
    """The opacity of a take's footage, 0 to 1; 1 without footage."""
    camera = tree.find_object(collection, "camera")
    found = list(camera.data.background_images) if camera is not None else []
    return float(found[0].alpha) if found else 1.0


def set_opacity(collection: bpy.types.Collection, value: float) -> None:
    """Set the opacity of a take's footage, through its camera and in space.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    value : float
        0 to 1.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    camera = tree.find_object(collection, "camera")
    for one in camera.data.background_images if camera is not None else ():
        one.alpha = value
    for card in footage_cards.find_cards(collection):
        card.use_empty_image_alpha = value < 1.0
        card.color[3] = value
