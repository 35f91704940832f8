"""The add-on's functions for scripts; the sidebar's buttons call the same functions.

from bl_ext.user_default.im2hands_addon import api
result = api.reconstruct(["hands.jpg"], "takes/hands")
"""

from __future__ import annotations

from pathlib import Path

import bpy

from .edits_api import (
    apply_keypoints,
    correct_keypoints,
    draw_box,
    edit_keypoints,
    edits,
    mark_absent,
    pin_hand,
    rebuild_frames,
    remove_edit,
    resolve_penetration,
    start_rebuild,
    swap_sides,
)
from .locations import require_text
from .motion_api import edit_above_clean, reclean, start_reclean
from .pins_api import pin_fingertip, unpin_fingertip
from .reconstruction_api import reconstruct, resume, start
from .scene import clean, conform, scene_settings, tree
from .scene.clean import set_smoothing, smoothing
from .scene.cleanup import ease_out, hold, mirror, retime
from .scene.export import export_take
from .scene.footage import show_footage
from .scene.importer import Surfaces, TakeImporter
from .scene.placement import Timing
from .scene.preview import render_overlay
from .scene.removal import remove_take
from .scene.retarget import bake_to_rig
from .scene.rig_keypoints import write_rig_keypoints
from .scene.rotation_modes import set_rotation_mode
from .scene.surfaces import SurfaceLoading
from .take.reader import TAKE_FILE

__all__ = [
    "Timing",
    "apply_keypoints",
    "bake_to_rig",
    "conform_to_scene",
    "correct_keypoints",
    "draw_box",
    "ease_out",
    "edit_above_clean",
    "edit_keypoints",
    "edits",
    "export_take",
    "has_clean_hands",
    "hold",
    "import_take",
    "mark_absent",
    "mirror",
    "pin_fingertip",
    "pin_hand",
    "rebuild_frames",
    "reclean",
    "reconstruct",
    "remove_edit",
    "remove_take",
    "render_overlay",
    "resolve_penetration",
    "resume",
    "retime",
    "set_rotation_mode",
    "set_scene_to_take",
    "set_smoothing",
    "show_footage",
    "show_hands",
    "show_surfaces",
    "smoothing",
    "start",
    "start_at",
    "start_rebuild",
    "start_reclean",
    "swap_sides",
    "takes",
    "unpin_fingertip",
    "write_rig_keypoints",
]


def import_take(
    folder: str | Path,
    *,
    scene: bpy.types.Scene | None = None,
    set_scene: bool = True,
    surfaces: Surfaces = "AUTO",
    timing: Timing | None = None,
) -> tuple[bpy.types.Collection, list[str]]:
    """Import a take into the scene; a take that is already there is replaced.

    Parameters
    ----------
    folder : str or Path
        The take's folder or its ``take.json``.
    scene : bpy.types.Scene, optional
        The scene to import into; None for the context's.
    set_scene : bool
        Whether an untouched scene gets the take's frame range, frame rate, picture size and camera. Any other scene
        stays as it is.
    surfaces : {"AUTO", "SHOW", "NONE"}
        Whether to import the implicit surfaces. "SHOW" imports and shows all. "NONE" leaves them on disk. "AUTO" leaves
        them on disk if the take has clean hands; otherwise it imports and shows the first frames
        (``scene.importer.SURFACES_AT_MOST``). :func:`show_surfaces` brings in what was left on disk.
    timing : Timing, optional
        Where a take that is new in the scene is placed in time: ``Timing(start=1001)`` puts its first frame on frame
        1001, ``Timing(is_conformed=True)`` its keys at their true times where the scene has another frame rate.

    Returns
    -------
    tuple of bpy.types.Collection and list of str
        The take's collection, and messages about what could not be imported.

    Raises
    ------
    InputError
        The folder's name is not UTF-8.
    TakeError
        The take cannot be read.
    """
    folder = require_text(Path(folder))
    importer = TakeImporter(folder.parent if folder.name == TAKE_FILE else folder, scene, set_scene, surfaces, timing)
    collection = importer.finish()
    return collection, importer.problems


def takes(scene: bpy.types.Scene | None = None) -> list[bpy.types.Collection]:
    """Return the takes of a scene.

    Parameters
    ----------
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Returns
    -------
    list of bpy.types.Collection
        The takes' collections.
    """
    return tree.take_collections(scene or bpy.context.scene)


def conform_to_scene(collection: bpy.types.Collection, scene: bpy.types.Scene | None = None) -> None:
    """Move a take's keys to their true times in a scene of another frame rate; the scene stays as it is.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Raises
    ------
    InputError
        The collection is linked from another file, or was imported by an older add-on.
    """
    conform.conform(collection, scene or bpy.context.scene)


def start_at(collection: bpy.types.Collection, frame: int, scene: bpy.types.Scene | None = None) -> None:
    """Move a take in time so that its first frame is on a frame of the scene.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection. If it was conformed to the scene's frame rate, it stays so.
    frame : int
        The scene frame.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Raises
    ------
    InputError
        The collection is linked from another file, or was imported by an older add-on.
    """
    conform.start_at(collection, scene or bpy.context.scene, frame)


def set_scene_to_take(collection: bpy.types.Collection, scene: bpy.types.Scene | None = None) -> None:
    """Set a scene's frame range, frame rate, picture size and camera to those of a take.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection. If it was conformed to a scene, its keys move back to whole frames; its start stays.
    scene : bpy.types.Scene, optional
        The scene; None for the context's. The frames of other takes in it stay in its range.

    Raises
    ------
    InputError
        The collection is linked from another file.
    """
    scene = scene or bpy.context.scene
    conform.restore_rate(collection, scene)
    scene_settings.set_to_take(scene, collection)


def has_clean_hands(collection: bpy.types.Collection) -> bool:
    """Whether the take has rigged hands in this file."""
    return bool(clean.rigs(collection))


def show_hands(collection: bpy.types.Collection, shown: bool = True) -> None:
    """Show or hide a take's clean hands with their rigs.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        Whether to show them, in the viewport and in renders.
    """
    tree.show_hands(collection, shown)


def show_surfaces(
    collection: bpy.types.Collection, shown: bool = True, frames: tuple[int, int] | None = None
) -> list[str]:
    """Show or hide a take's implicit surfaces; surfaces that were left on disk are brought in first.

    ``scene.surfaces.SurfaceLoading`` brings them in a few at a time.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    shown : bool
        Whether to show them, in the viewport and in renders.
    frames : tuple of int, optional
        First and last frame to bring in, inclusive; None for all.

    Returns
    -------
    list of str
        Messages about frames that could not be read.

    Raises
    ------
    TakeError
        Surfaces have to be brought in, and the take cannot be read.
    """
    tree.show_surfaces(collection, shown)
    if not shown:
        return []
    loading = SurfaceLoading(collection, frames)
    loading.step()
    return loading.problems
