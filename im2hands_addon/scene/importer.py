"""Brings a take into a scene, whole or frame by frame while the backend still works on it.

Nothing of Blender's is kept between calls: objects are found again by their custom properties, so undo, renaming
and deleting in the meantime do no harm. Importing a take again replaces its objects and keeps its origin where a
person put it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import bpy
import numpy as np

from ..errors import TakeError
from ..take.motion import Motion, Template, read_animation
from ..take.reader import SIDES, Take, read_take
from . import camera, clean, footage, keypoints, markers, meshes, tree
from .context import ensure_window
from .ownership import FRAME, SIDE, remove_objects, role_of

Surfaces = Literal["AUTO", "SHOW", "NONE"]
# 250 frames of two surfaces make a file of 0.3 GB; with clean hands in the scene, more are left in the take.
SURFACES_AT_MOST = 250

# Camera and pictures are written anew each time the take has grown by this factor, so that
# a long one does not slow down.
_GROWTH = 1.25
# How far behind the farthest keypoint the footage stands in space: clear of finger, forearm and what smoothing moves.
_FOOTAGE_GAP_M = 0.1
_FOOTAGE_WITHOUT_HANDS_M = 1.0


class TakeImporter:
    """One import of one take.

    Args:
        folder: the take. scene: where to; None for the scene of the context.
        set_scene: whether to give the scene the take's frame range, frame rate, picture size and camera.
        surfaces: the implicit surfaces of a take that has clean hands: "SHOW", "NONE", or "AUTO" to bring them in
            hidden where they are at most ``SURFACES_AT_MOST`` frames. Without clean hands they always come, shown.

    After :meth:`finish`, ``problems`` holds, for a person, what could not be brought in.
    """

    def __init__(
        self,
        folder: str | Path,
        scene: bpy.types.Scene | None = None,
        set_scene: bool = True,
        surfaces: Surfaces = "AUTO",
    ) -> None:
        self.folder = Path(folder)
        self.set_scene = set_scene
        self.surfaces = surfaces
        self._scene_name = (scene or bpy.context.scene).name
        self._tracks: dict[str, dict[int, np.ndarray]] = {side: {} for side in SIDES}
        self._done: set[int] = set()
        self._unread: dict[int, str] = {}
        self._pictures_written = 0
        self._picture_problems: list[str] = []
        self._clean_problems: list[str] = []

    @property
    def problems(self) -> list[str]:
        """For a person: what could not be brought in so far."""
        return [*self._unread.values(), *self._picture_problems, *self._clean_problems]

    @property
    def scene(self) -> bpy.types.Scene:
        """The scene imported into; the context's when that one was deleted meanwhile."""
        return bpy.data.scenes.get(self._scene_name) or bpy.context.scene

    def add_frames(self, indices: list[int]) -> bpy.types.Collection:
        """Bring in finished frames; the take may still be growing.

        Raises:
            TakeError: the take itself cannot be read. A single damaged frame is left out and noted in ``problems``.
        """
        take = read_take(self.folder)
        collection = tree.ensure_collection(take, self.scene)
        tree.show_surfaces(collection, True)
        tree.show_hands(collection, False)
        if len(take.records) > _GROWTH * self._pictures_written:
            self._pictures_written = len(take.records)
            self._write_camera(take, collection)
            self._write_scene(take, collection)
        self._add(take, collection, [index for index in indices if index in take.records])
        self._write_keypoints(take, collection)
        return collection

    def finish(self) -> bpy.types.Collection:
        """Bring in what is still missing, take away what the take no longer has, and set up camera, pictures and scene.

        Returns:
            The take's collection.

        Raises:
            TakeError: the take cannot be read.
        """
        with ensure_window():
            return self._finish(read_take(self.folder))

    def _finish(self, take: Take) -> bpy.types.Collection:
        collection = tree.ensure_collection(take, self.scene)
        motion = self._write_clean_hands(take, collection)
        if motion is None or self.surfaces == "SHOW" or self._are_few(take):
            surfaces = [one for one in collection.all_objects if role_of(one) == "surface"]
            there = {(one.get(SIDE), one.get(FRAME)) for one in surfaces}
            self._add(take, collection, [index for index in take.records if not self._is_there(index, there)])
        else:
            self._tracks = _keypoint_tracks(motion)
            self._done.clear()
            remove_objects([one for one in collection.all_objects if role_of(one) == "surface"])
        tree.show_surfaces(collection, motion is None or self.surfaces == "SHOW")
        tree.show_hands(collection, True)
        gone = [thing for thing in collection.all_objects if self._is_stale(thing, take)]
        remove_objects(gone)
        self._write_keypoints(take, collection)
        self._write_camera(take, collection)
        self._write_scene(take, collection)
        doubts = {index: record.doubt for index, record in take.records.items()}
        if motion is not None:
            told = clean.doubts(motion)
            # What lies between the steps of a take is filled as a matter of course.
            doubts |= {index: doubt for index, doubt in told.items() if take.step == 1 or index in take.records}
        markers.write_markers(self.scene, collection, doubts, take.step)
        tree.write_properties(collection, take)
        self.scene.frame_set(self.scene.frame_current)
        return collection

    def _write_clean_hands(self, take: Take, collection: bpy.types.Collection) -> Motion | None:
        """The motion of the clean hands that were brought in; None, and none in the scene, where the take has none."""
        self._clean_problems = []
        template: Template | None = None
        motion: Motion | None = None
        try:
            template, motion = read_animation(take) or (None, None)
            self._clean_problems = clean.write_hands(collection, template, motion, take.step)
        except TakeError as error:  # the surfaces are still worth having
            self._clean_problems = [str(error)]
            clean.write_hands(collection, None, None)
            return None
        return motion if clean.rigs(collection) else None

    def _are_few(self, take: Take) -> bool:
        return self.surfaces == "AUTO" and len(take.records) <= SURFACES_AT_MOST

    def _add(self, take: Take, collection: bpy.types.Collection, indices: list[int]) -> None:
        origin = tree.find_object(collection, "origin")
        wanted = set(indices)
        remove_objects(
            [one for one in collection.all_objects if role_of(one) == "surface" and one.get(FRAME) in wanted]
        )
        places = {side: tree.child(collection, tree.SURFACES[side]) for side in SIDES}
        for index in indices:
            for side in SIDES:
                self._tracks[side].pop(index, None)
            try:
                hands = take.read_hands(index)
            except TakeError as error:  # the end tries again
                self._unread[index] = str(error)
                continue
            self._done.add(index)
            self._unread.pop(index, None)
            for side, hand in hands.items():
                thing = meshes.build_surface(index, side, hand, take.step, self.scene.frame_current)
                thing.parent = origin
                places[side].objects.link(thing)
                self._tracks[side][index] = hand.keypoints

    def _is_there(self, index: int, there: set[tuple[str, int]]) -> bool:
        """Whether this import has brought the frame in and nobody has taken a hand of it away since."""
        brought = {(side, index) for side in SIDES if index in self._tracks[side]}
        return index in self._done and brought <= there

    def _is_stale(self, thing: bpy.types.Object, take: Take) -> bool:
        """Whether a surface is of a frame, or of a side in it, that the take does not have."""
        if role_of(thing) != "surface" or thing.get(FRAME) is None:
            return False
        return thing[FRAME] not in self._tracks.get(thing.get(SIDE, ""), {}) or thing[FRAME] not in take.records

    def _write_keypoints(self, take: Take, collection: bpy.types.Collection) -> None:
        origin = tree.find_object(collection, "origin")
        place = tree.child(collection, tree.KEYPOINTS)
        for side in SIDES:
            if self._tracks[side] or keypoints.find_empties(place, side):
                keypoints.write_keypoints(place, origin, side, self._tracks[side], take.step)

    def _write_camera(self, take: Take, collection: bpy.types.Collection) -> None:
        data = tree.find_object(collection, "camera").data
        camera.set_lenses(data, take.camera, {index: record.camera for index, record in take.records.items()})
        farthest = [points[:, 2].max() for track in self._tracks.values() for points in track.values()]
        distance = max(farthest) + _FOOTAGE_GAP_M if farthest else _FOOTAGE_WITHOUT_HANDS_M
        self._picture_problems = footage.write_footage(collection, take, float(distance))

    def _write_scene(self, take: Take, collection: bpy.types.Collection) -> None:
        if not self.set_scene:
            return
        scene = self.scene
        scene.camera = tree.find_object(collection, "camera")
        camera.set_render_size(scene, take.camera)
        scene.render.fps = max(1, round(take.fps))
        scene.render.fps_base = scene.render.fps / take.fps
        if take.records:
            scene.frame_start = min(take.records)
            scene.frame_end = max(take.records) + take.step - 1
            if not scene.frame_start <= scene.frame_current <= scene.frame_end:
                scene.frame_set(scene.frame_start)


def _keypoint_tracks(motion: Motion) -> dict[str, dict[int, np.ndarray]]:
    """The keypoints of each frame by itself, by side and frame, as the motion has them."""
    tracks: dict[str, dict[int, np.ndarray]] = {side: {} for side in SIDES}
    for side, hand in motion.hands.items():
        for frame, points in zip(motion.frames.tolist(), hand.keypoints, strict=True):
            if np.isfinite(points).all():
                tracks[side][frame] = points
    return tracks
