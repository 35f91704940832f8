"""Plain custom properties that say which take an object or collection came from, and what it is in it."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from ..errors import InputError
from . import animation

TAKE = "im2hands_take"
ROLE = "im2hands_role"
FRAME = "im2hands_frame"
SIDE = "im2hands_side"


def take_key(folder: str | Path) -> str:
    """The text by which a take's folder is known in a .blend: its absolute path."""
    return os.path.normpath(os.path.abspath(folder))  # noqa: PTH100 - a link must not be followed


def mark(datablock: bpy.types.ID, role: str, **properties: object) -> None:
    """Note on ``datablock`` what it is, so that the next import finds it under whatever name."""
    datablock[ROLE] = role
    for name, value in properties.items():
        datablock[name] = value


def role_of(datablock: bpy.types.ID) -> str:
    """What :func:`mark` noted; "" for a person's own things."""
    return str(datablock.get(ROLE, ""))


def require_local(collection: bpy.types.Collection) -> None:
    """Refuse to change what is not this file's.

    Raises:
        InputError: the collection is linked from another file.
    """
    if collection.library is not None:
        raise InputError(f"{collection.name} is linked from another file.", "Change it there, or make it local.")


def remove_objects(objects: list[bpy.types.Object]) -> None:
    """Delete objects with their meshes, armatures, cameras and actions, as far as nothing else uses those.

    Pictures of image empties stay.
    """
    data = {thing.data for thing in objects if thing.data is not None and thing.type != "EMPTY"}
    keys = {block.shape_keys for block in data if getattr(block, "shape_keys", None) is not None}
    actions = set().union(*(animation.actions_of(owner) for owner in [*objects, *data, *keys]))
    bpy.data.batch_remove(objects)
    bpy.data.batch_remove([block for block in data if block.users == 0])
    bpy.data.batch_remove([action for action in actions if action.users == 0])
