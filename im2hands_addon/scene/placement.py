"""Where an imported take is placed in the time of its scene, and what of the scene is fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy

from ..take.reader import Take
from . import conform, scene_settings, tree
from .ownership import take_key


@dataclass(frozen=True)
class Timing:
    """Where a new take is placed in the time of its scene.

    Parameters
    ----------
    start : int, optional
        Scene frame of the take's first frame; None for the number that the frame has in its source.
    is_conformed : bool
        Whether the keys are put at their true times where the scene has another frame rate.
    """

    start: int | None = None
    is_conformed: bool = False


class Placement:
    """The place of one take that is being imported.

    ``notes`` tells what of the scene does not fit the take.

    Parameters
    ----------
    folder : str or Path
        The take's folder. If the take is in the file already, it stays where it is.
    set_scene : bool
        Whether the scene may be fitted to the take, see ``scene_settings.adapt``.
    timing : Timing, optional
        Where a new take is placed; None for the frames of its source.
    """

    def __init__(self, folder: str | Path, set_scene: bool, timing: Timing | None) -> None:
        self.notes: list[str] = []
        self._set_scene = set_scene
        self._timing = timing or Timing()
        self._is_timed = tree.find_collection(take_key(folder)) is not None

    def write(
        self, scene: bpy.types.Scene, collection: bpy.types.Collection, take: Take, *, is_last: bool = False
    ) -> None:
        """Fit the scene to the take, if that is wanted and the scene is untouched; note what does not fit.

        Parameters
        ----------
        scene : bpy.types.Scene
            The scene.
        collection : bpy.types.Collection
            The take's collection.
        take : Take
            The take, as far as it has grown.
        is_last : bool
            Whether this is the end of the import. Then it is decided, too, where a new take is placed in time; its keys
            are moved later.
        """
        conform.write_times(collection, take)
        is_new = is_last and not self._is_timed
        if is_new and self._timing.start is not None:
            conform.plan(collection, None, self._timing.start)
        self.notes = scene_settings.adapt(scene, collection, take, allowed=self._set_scene)
        if is_new and self._timing.is_conformed and not scene_settings.has_rate_of(scene, collection):
            conform.plan(collection, scene, self._timing.start)
            self.notes = scene_settings.adapt(scene, collection, take, allowed=self._set_scene)
        self._is_timed = self._is_timed or is_last
