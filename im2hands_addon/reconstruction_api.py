"""The functions of ``api`` that start and continue reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bpy

from .errors import InputError, TakeError
from .locations import backend_setting
from .process.options import OPTIONS, Options
from .reconstruction import Reconstruction, Result, folder_of
from .scene.importer import Surfaces
from .scene.placement import Timing
from .take.reader import read_take


def start(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
    timing: Timing | None = None,
    backend: str = "",
    **options: Any,
) -> Reconstruction:
    """Start a reconstruction and return at once.

    Call ``poll()`` of the result until ``has_ended`` is true. Its ``error`` then holds what went wrong after the start.

    Parameters
    ----------
    inputs, output, scene, set_scene, surfaces, timing, backend, **options
        As for :func:`reconstruct`.

    Returns
    -------
    Reconstruction
        The running reconstruction.

    Raises
    ------
    InputError
        An input or an option cannot be used.
    BackendError
        There is no backend, or it cannot be started.
    """
    several = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    try:
        wanted = Options(**options)
    except TypeError as error:
        raise InputError(f"Not an option of a reconstruction: {error}.") from error
    return Reconstruction(
        [str(one) for one in several],
        output,
        wanted,
        backend=backend or backend_setting(),
        scene=scene,
        set_scene=set_scene,
        surfaces=surfaces,
        timing=timing,
    )


def reconstruct(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
    timing: Timing | None = None,
    backend: str = "",
    on_poll: Callable[[Reconstruction], None] | None = None,
    **options: Any,
) -> Result:
    """Reconstruct the hands in pictures or a clip, import them into the scene, and wait for the end.

    Frames that were finished before an error stay on disk and in the scene.

    Parameters
    ----------
    inputs : str, Path or sequence of them
        A picture, a folder of pictures, a clip, or several pictures.
    output : str or Path, optional
        The take's folder. None for a folder in ``takes`` beside the .blend or, for an unsaved file, in the folder of
        the preferences (``Im2Hands/takes`` in the home folder).
    scene : bpy.types.Scene, optional
        The scene to import into; None for the context's.
    set_scene : bool
        Whether an untouched scene gets the take's frame range, frame rate, picture size and camera. Any other scene
        stays as it is.
    surfaces : {"AUTO", "SHOW", "NONE"}
        As for ``api.import_take``.
    timing : Timing, optional
        As for ``api.import_take``.
    backend : str
        The backend's Python or its environment. "" for the one in the preferences or, without one there, to search.
    on_poll : callable, optional
        Called with the reconstruction about 50 times a second. It may read ``job.progress`` and call ``cancel()``.
    **options
        Options of the reconstruction by name, such as ``frames``, ``step``, ``keypoints``, ``fov`` or ``smoothing``.
        ``process.options.OPTIONS`` describes all of them.

    Returns
    -------
    Result
        The take's folder and collection, counts of frames, and warnings.

    Raises
    ------
    InputError
        An input or an option cannot be used.
    BackendError
        There is no backend, it cannot be started, or it ended unexpectedly.
    JobError
        The backend reported an error.
    """
    running = start(
        inputs, output, scene=scene, set_scene=set_scene, surfaces=surfaces, timing=timing, backend=backend, **options
    )
    return running.run(on_poll)


def resume(
    collection: bpy.types.Collection, *, scene: bpy.types.Scene | None = None, backend: str = ""
) -> Reconstruction:
    """Go on with a take whose reconstruction has not come to its end, with its own source and options.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene, backend
        As for :func:`reconstruct`.

    Returns
    -------
    Reconstruction
        The running reconstruction, as of :func:`start`, which raises the same errors.

    Raises
    ------
    TakeError
        The take cannot be read, or does not tell what it was made from.
    """
    take = read_take(folder_of(collection))
    if not take.inputs:
        raise TakeError(f"The take {take.name} does not say what it was made from.", "Reconstruct it again.")
    options = {name: value for name, value in take.settings.items() if name in OPTIONS}
    return start(list(take.inputs), take.folder, scene=scene, backend=backend, **options)
