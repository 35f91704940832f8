"""What a person sees of a job while it runs: its hands as sticks over the footage, in a view that follows it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import bpy
import numpy as np

from .reconstruction import Reconstruction
from .scene import conform, framing, views
from .scene.camera import to_blender

_SLOW_SECONDS = 0.15  # a scene that takes longer for a frame is not moved
_EVERY_SECONDS = 0.3


class Watching:
    """Shows a job in the largest 3D view, and moves to the frame that was found last.

    The view looks through the take's camera from the first found hand on. The current frame follows the job until the
    person goes to another one, plays the animation, or the scene is too heavy for it.

    Parameters
    ----------
    started : Reconstruction
        The job.
    """

    def __init__(self, started: Reconstruction) -> None:
        self.started = started
        self._frame: int | None = None  # where the job was followed to last; None: not begun, or ended
        self._from = 0
        self._drawn: int | None = None
        self._has_begun = False
        self._last = 0  # the end of the scene's range, which grows
        self._at = 0.0

    def update(self) -> None:
        """Show what is new; call it after each ``poll`` of the job."""
        collection, job = self.started.result.collection, self.started.job
        if collection is None or not self.started.shows_result or job.has_ended or not job.found:
            return
        if job.newest != self._drawn:
            self._drawn = job.newest
            _redraw_views()
        if not self._has_begun:
            self._has_begun = True
            every = [points for hands in job.found.values() for points in hands.values()]
            if every:
                hands = framing.Hands(to_blender(np.concatenate([np.array(points) for points in every])))
                self.started.job.warnings += views.watch(collection, self.started.scene, hands)
            self._frame = self._from = self.started.scene.frame_current
        self._follow(collection)

    def leave(self) -> None:
        """Go back to the frame where the job was begun to be followed, unless the person went elsewhere."""
        scene = self.started.scene
        if self._frame is not None and scene.frame_current == self._frame != self._from:
            scene.frame_set(self._from)
        self._frame = None

    def _follow(self, collection: bpy.types.Collection) -> None:
        scene, newest = self.started.scene, self.started.job.newest
        if self._frame is None or newest is None or time.monotonic() - self._at < _EVERY_SECONDS:
            return
        if scene.frame_current != self._frame:
            self._frame = None
            return
        self._at = time.monotonic()
        if scene.frame_end != self._last:
            self._last = scene.frame_end
            views.fit_timelines(scene)
        target = round(conform.to_scene(collection, newest))
        if target == self._frame:
            return
        scene.frame_set(target)
        self._frame = target if time.monotonic() - self._at < _SLOW_SECONDS else None


def _redraw_views() -> None:
    """Draw the pictures of the 3D views, where sticks may have come; their sidebars are drawn more seldom."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            for region in area.regions if area.type == "VIEW_3D" else ():
                if region.type == "WINDOW":
                    region.tag_redraw()


def found_at(
    started: Reconstruction | None, collection: bpy.types.Collection, frame: float
) -> Mapping[str, Sequence[Sequence[float]]] | None:
    """Return the hands that a running job has found on a frame of its take.

    Parameters
    ----------
    started : Reconstruction or None
        The last job.
    collection : bpy.types.Collection
        A take's collection.
    frame : float
        The scene frame.

    Returns
    -------
    mapping or None
        Side -> 21 keypoints, camera frame, metres; None where no job runs that has looked at this frame.
    """
    if started is None or started.has_ended or started.collection_name != collection.name:
        return None
    return started.job.found.get(conform.to_take(collection, frame))
