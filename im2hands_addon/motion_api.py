"""The functions of ``api`` for the motion of a take's rigged hands and a person's keys above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy

from .locations import backend_setting
from .recleaning import Recleaning
from .reconstruction import Reconstruction, Result
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
    for rig in clean.require_rigs(collection).values():
        layers.ensure_layer(collection, rig)


def start_reclean(
    collection: bpy.types.Collection, *, scene: bpy.types.Scene | None = None, backend: str = "", **options: Any
) -> Recleaning:
    """Start :func:`reclean` and return at once; call ``poll()`` of the result until ``has_ended`` is true.

    Parameters
    ----------
    collection, scene, backend, **options
        As for :func:`reclean`.

    Returns
    -------
    Recleaning
        The running job.

    Raises
    ------
    InputError
        The take has no rigged hands, is linked from another file, or there is no such option.
    BackendError
        There is no backend, or it cannot be started.
    """
    return Recleaning(collection, options, backend=backend or backend_setting(), scene=scene)


def reclean(
    collection: bpy.types.Collection,
    *,
    scene: bpy.types.Scene | None = None,
    backend: str = "",
    on_poll: Callable[[Reconstruction], None] | None = None,
    **options: Any,
) -> Result:
    """Solve the motion of a take again without its pictures, replace the clean hands, and wait for the end.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.
    backend : str
        The backend's Python or its environment. "" for the one in the preferences or, without one there, to search.
    on_poll : callable, optional
        Called with the job about 50 times a second. It may call ``cancel()``.
    **options
        ``smoothing``, ``gap`` and ``template_density``; what is left out stays as it was.

    Returns
    -------
    Result
        As of ``api.reconstruct``.

    Raises
    ------
    InputError
        The take has no rigged hands, is linked from another file, or there is no such option.
    BackendError
        There is no backend, it cannot be started, or it ended unexpectedly.
    JobError
        The backend reported an error, such as a value that is not possible.
    """
    return start_reclean(collection, scene=scene, backend=backend, **options).run(on_poll)
