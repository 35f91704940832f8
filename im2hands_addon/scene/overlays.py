"""What of a take is drawn over its hands: the rigs, the keypoints and the skeleton."""

from __future__ import annotations

import bpy

from . import clean, tree
from .ownership import require_local

_SKELETON = "im2hands_draws_skeleton"


def rigs_are_shown(collection: bpy.types.Collection) -> bool:
    """Whether the rigs of a take are visible in the viewport."""
    return any(not rig.hide_viewport for rig in clean.rigs(collection).values())


def show_rigs(collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide the rigs of a take in the viewport; hidden rigs still move the hands.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        Whether to show them.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    for rig in clean.rigs(collection).values():
        rig.hide_viewport = not shown


def keypoints_are_shown(collection: bpy.types.Collection) -> bool:
    """Whether the keypoints of a take are visible in the viewport."""
    place = tree.child(collection, tree.KEYPOINTS)
    return place is not None and not place.hide_viewport


def show_keypoints(collection: bpy.types.Collection, shown: bool) -> None:
    """Show or hide the keypoints of a take in the viewport.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        Whether to show them.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    place = tree.child(collection, tree.KEYPOINTS)
    if place is not None:
        place.hide_viewport = not shown


def skeleton_is_shown(collection: bpy.types.Collection) -> bool:
    """Whether the measured keypoints are drawn as a skeleton in the colours of doubt."""
    return bool(collection.get(_SKELETON, False))


def show_skeleton(collection: bpy.types.Collection, shown: bool) -> None:
    """Draw the measured keypoints as a skeleton in the colours of doubt, or not.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        Whether to draw it.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    require_local(collection)
    collection[_SKELETON] = shown
