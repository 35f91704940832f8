"""Solves the motion of a take again, for example with another smoothing, and replaces the clean hands in the scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import bpy

from .errors import InputError
from .process import messages
from .process.options import OPTIONS
from .reconstruction import Reconstruction, find_backend, folder_of
from .scene import clean
from .scene.ownership import require_local

CLEAN_OPTIONS = tuple(option for option in OPTIONS.values() if "clean" in option.commands)
"""The options of the clean phase."""


def settings_of(collection: bpy.types.Collection) -> dict[str, Any]:
    """Return the options with which the motion of a take was solved; the defaults where it does not say."""
    try:
        told = json.loads(collection.get("im2hands_clean") or "{}").get("settings") or {}
    except (ValueError, AttributeError):
        told = {}
    return {option.name: told.get(option.name, option.default) for option in CLEAN_OPTIONS}


class Recleaning(Reconstruction):
    """A running or ended clean phase of a take; creating the object starts it. It is polled like a reconstruction.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    options : mapping
        Options of the clean phase by name. The others stay as they were.
    backend : str
        The backend's Python or its environment; "" to search for it.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Raises
    ------
    InputError
        The take has no rigged hands, is linked from another file, or there is no such option.
    BackendError
        There is no backend, or it cannot be started.
    """

    button = undo_name = "Re-clean"
    undo_operator = "note_reclean"
    shows_result = False

    def __init__(
        self,
        collection: bpy.types.Collection,
        options: Mapping[str, Any],
        *,
        backend: str = "",
        scene: bpy.types.Scene | None = None,
    ) -> None:
        require_local(collection)
        clean.require_rigs(collection)
        wanted = settings_of(collection)
        for name, value in options.items():
            if name not in wanted:
                raise InputError(f"{name} is no option of the clean motion.", f"There are {', '.join(wanted)}.")
            wanted[name] = value
        found = find_backend(backend)
        self._begin_on(collection, folder_of(collection), found, scene, lambda take: messages.clean(take, wanted))

    def _bring_in(self) -> bpy.types.Collection:
        """Replace the clean hands."""
        return self._importer.replace_frames([])
