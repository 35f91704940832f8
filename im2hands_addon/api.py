"""The add-on for scripts: what the sidebar's buttons call, too.

from bl_ext.user_default.im2hands_addon import api
result = api.reconstruct(["hands.jpg"], "takes/hands")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bpy

from .errors import InputError
from .locations import backend_setting
from .process.options import Options
from .reconstruction import Reconstruction, Result
from .scene import clean, tree
from .scene.clean import set_smoothing, smoothing
from .scene.export import export_take
from .scene.footage import show_footage
from .scene.importer import Surfaces, TakeImporter
from .scene.ownership import TAKE
from .scene.preview import render_overlay
from .scene.removal import remove_take
from .scene.retarget import bake_to_rig
from .scene.rotation_modes import set_rotation_mode

__all__ = [
    "bake_to_rig",
    "export_take",
    "has_clean_hands",
    "import_take",
    "reconstruct",
    "remove_take",
    "render_overlay",
    "set_rotation_mode",
    "set_smoothing",
    "show_footage",
    "show_hands",
    "show_surfaces",
    "smoothing",
    "start",
    "takes",
]


def start(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
    backend: str = "",
    **options: Any,
) -> Reconstruction:
    """Start a reconstruction and return at once; call its ``poll()`` until it ``has_ended``.

    Arguments and errors as for :func:`reconstruct`, which also raises what goes wrong later on.
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
    )


def reconstruct(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
    backend: str = "",
    on_poll: Callable[[Reconstruction], None] | None = None,
    **options: Any,
) -> Result:
    """Reconstruct the hands in pictures or a clip and bring them into the scene; waits for the end.

    Args:
        inputs: a picture, a folder, a clip, or several of them.
        output: the take's folder; None for ``takes`` beside the .blend or, for a file without a name, in the
            extension's user folder.
        scene: where to; None for the scene of the context. set_scene: whether to give the scene the take's frame range,
            frame rate, picture size and camera. surfaces: as for :func:`import_take`.
        backend: the Python environment with the backend; "" for the preferences' or, if they are silent, the one found.
        on_poll: called about 50 times a second; see ``job.progress``; may call ``cancel()``.
        options: fields of :class:`.backend.messages.Options`: ``frames``, ``step``, ``keypoints``, ``hand_boxes``,
            ``crop_search``, ``mirrored``, ``camera``, ``focal_px`` (pixels), ``fov`` (degrees), ``weights``, ``stage``,
            ``voxel_mm``,
            ``device``, ``resume``, ``palm_mm``, ``fps``, ``keypoint_refinement``, ``clean``, ``smoothing``, ``gap``,
            ``template_density``.

    Raises:
        InputError: an input or option that cannot be used. BackendError: no backend, or it ended in the middle.
        JobError: the backend answered with an error. Whatever frames were finished are on disk and in the scene.
    """
    running = start(inputs, output, scene=scene, set_scene=set_scene, surfaces=surfaces, backend=backend, **options)
    return running.run(on_poll)


def import_take(
    folder: str | Path,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
) -> tuple[bpy.types.Collection, list[str]]:
    """Bring a take into the scene; one that is there already is replaced.

    Args:
        folder: the take's folder or its ``take.json``. scene, set_scene: as for :func:`reconstruct`.
        surfaces: the implicit surfaces of a take that has clean hands: "SHOW", "NONE", or "AUTO" to bring them in
            hidden when the take is not long. Without clean hands they always come, and are shown.

    Returns:
        The take's collection, and for a person what could not be brought in.

    Raises:
        TakeError: the take cannot be read.
    """
    folder = Path(folder)
    importer = TakeImporter(folder.parent if folder.name == "take.json" else folder, scene, set_scene, surfaces)
    collection = importer.finish()
    return collection, importer.problems


def takes(scene: bpy.types.Scene | None = None) -> list[bpy.types.Collection]:
    """The collections of all takes in ``scene``, by default the context's."""
    return tree.take_collections(scene or bpy.context.scene)


def has_clean_hands(collection: bpy.types.Collection) -> bool:
    """Whether a take has rigged hands in this file."""
    return bool(clean.rigs(collection))


def show_hands(collection: bpy.types.Collection, shown: bool = True) -> None:
    """Show or hide a take's clean hands with their rigs, in the viewport and in renders."""
    tree.show_hands(collection, shown)


def show_surfaces(collection: bpy.types.Collection, shown: bool = True) -> None:
    """Show or hide a take's implicit surfaces; those that were left in the take are brought in first.

    Raises:
        TakeError: they have to be brought in, and the take cannot be read.
    """
    if shown and not any(len(one.objects) for one in tree.surface_places(collection)):
        scene = next((one for one in bpy.data.scenes if collection in one.collection.children_recursive), None)
        import_take(collection[TAKE], scene=scene, set_scene=False, surfaces="SHOW")
    tree.show_surfaces(collection, shown)
