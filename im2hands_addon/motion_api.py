"""The functions of ``api`` for the motion of a take's rigged hands and a person's keys above it."""

from __future__ import annotations

import bpy

from .errors import InputError
from .scene import clean, layers
from .scene.ownership import require_local


def edit_above_clean(collection: bpy.types.Collection) -> None:
    """Make the clean motion of a take an NLA strip; what is keyed on its rigs from now on is a layer above it.

    Keys of the layer are offsets from the clean motion below them. Importing the take again exchanges the motion below
    and leaves the layer as it is.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Raises
    ------
    InputError
        The take has no rigged hands, or is linked from another file.
    """
    require_local(collection)
    rigs = clean.rigs(collection)
    if not rigs:
        raise InputError(f"{collection.name} has no rigged hands.", "Import a take with clean motion.")
    for rig in rigs.values():
        layers.ensure_layer(collection, rig)
