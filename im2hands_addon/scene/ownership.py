"""Custom properties that mark the objects and collections of a take, and their deletion."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from ..errors import InputError
from . import animation

TAKE = "im2hands_take"
"""Property of a take's collection: the take's folder (see :func:`take_key`)."""
ROLE = "im2hands_role"
"""Property of every data-block of a take: what it is, such as "rig" or "surface"."""
FRAME = "im2hands_frame"
"""Property of an object that belongs to one frame: the frame number."""
SIDE = "im2hands_side"
"""Property of an object that belongs to one hand: "left" or "right"."""


def take_key(folder: str | Path) -> str:
    """Return the text that identifies a take in a .blend.

    Parameters
    ----------
    folder : str or Path
        The take's folder.

    Returns
    -------
    str
        The absolute path of the folder.
    """
    return os.path.normpath(os.path.abspath(folder))  # noqa: PTH100 - a link must not be followed


def mark(datablock: bpy.types.ID, role: str, **properties: object) -> None:
    """Mark a data-block as part of a take, so that the next import finds it even if it was renamed.

    Parameters
    ----------
    datablock : bpy.types.ID
        The data-block.
    role : str
        What it is.
    **properties : object
        Further custom properties by name.
    """
    datablock[ROLE] = role
    for name, value in properties.items():
        datablock[name] = value


def role_of(datablock: bpy.types.ID) -> str:
    """The role that :func:`mark` set; "" for data-blocks of the person."""
    return str(datablock.get(ROLE, ""))


def require_local(collection: bpy.types.Collection) -> None:
    """Refuse a take that is linked from another file, or overrides one that is, because its keys cannot be changed.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    if not is_local(collection):
        raise InputError(f"{collection.name} is linked from another file.", "Change it there, or make it local.")


def is_local(collection: bpy.types.Collection) -> bool:
    """Whether a take is this file's own, neither linked nor a library override of a linked one."""
    return collection.library is None and collection.override_library is None


def remove_objects(objects: list[bpy.types.Object]) -> None:
    """Delete objects, and their meshes, armatures, cameras and actions that have no other user.

    Parameters
    ----------
    objects : list of bpy.types.Object
        The objects. The pictures of image empties stay.
    """
    data = {thing.data for thing in objects if thing.data is not None and thing.type != "EMPTY"}
    keys = {block.shape_keys for block in data if getattr(block, "shape_keys", None) is not None}
    actions = set().union(*(animation.actions_of(owner) for owner in [*objects, *data, *keys]))
    bpy.data.batch_remove(objects)
    bpy.data.batch_remove([block for block in data if block.users == 0])
    bpy.data.batch_remove([action for action in actions if action.users == 0])
