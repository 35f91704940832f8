"""Imports a take into a scene, as a whole or frame by frame while the backend still works on it.

The importer keeps no references to Blender data between calls. It finds objects again by their custom properties, so
the person can undo, rename and delete in the meantime. Importing a take again replaces its objects, but keeps the
transform of its origin.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import bpy
import numpy as np

from ..errors import TakeError, shown
from ..take.keypoints import read_keypoints
from ..take.motion import Motion, Template, keypoint_tracks, read_animation
from ..take.reader import SIDES, Record, Take, read_take
from . import (
    camera,
    clean,
    conform,
    corrections,
    doubt,
    finger_pins,
    footage,
    keypoints,
    markers,
    overlays,
    surfaces,
    tree,
    views,
)
from .context import ensure_window
from .ownership import FRAME, SIDE, remove_objects, take_key
from .placement import Placement, Timing

Surfaces = Literal["AUTO", "SHOW", "NONE"]
SURFACES_AT_MOST = 50
"""Frames whose surfaces "AUTO" brings in: 50 frames of two surfaces take some 3 seconds and 200 MB."""

# While a take grows, camera and pictures are written again each time it has grown by this factor. With more updates a
# long take would slow down.
_GROWTH = 1.25
# Distance from the farthest keypoint to the footage in space: room for the flesh, the forearm and smoothing.
_FOOTAGE_GAP_M = 0.1
_FOOTAGE_WITHOUT_HANDS_M = 1.0  # distance from the camera


def _seen(index: int, image: str, take: Take) -> Record:
    """A frame that the take does not have yet, for its picture."""
    return Record(index, "empty", "", {}, "", image, take.camera, has_surfaces=False)


class TakeImporter:
    """One import of one take: any number of calls of :meth:`add_frames`, then :meth:`finish`.

    Parameters
    ----------
    folder : str or Path
        The take's folder.
    scene : bpy.types.Scene, optional
        The scene to import into; None for the context's.
    set_scene : bool
        Whether the scene may be fitted to the take (see ``scene_settings``): an untouched scene gets its frame range,
        frame rate, picture size and camera.
    surfaces : {"AUTO", "SHOW", "NONE"}
        Whether to import the implicit surfaces. "SHOW" imports and shows all. "NONE" leaves them on disk. "AUTO" leaves
        them on disk if the take has clean hands, or will have them in the end; otherwise the first ``SURFACES_AT_MOST``
        frames are shown. ``scene.surfaces`` brings in the others.
    timing : Timing
        Where a take that is new in the scene is placed in time. A take that is there already stays where it is.
    """

    def __init__(
        self,
        folder: str | Path,
        scene: bpy.types.Scene | None = None,
        set_scene: bool = True,
        surfaces: Surfaces = "AUTO",
        timing: Timing | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.surfaces = surfaces
        self._placement = Placement(folder, set_scene, timing)
        self._scene_name = (scene or bpy.context.scene).name
        self._tracks: dict[str, dict[int, np.ndarray]] = {side: {} for side in SIDES}
        self._done: set[int] = set()
        self._unread: dict[int, str] = {}
        self._pictures_written = 0
        self._picture_problems: list[str] = []
        self._clean_problems: list[str] = []
        self._correction_problems: list[str] = []
        self._notes: list[str] = []

    @property
    def problems(self) -> list[str]:
        """Messages about what could not be imported so far."""
        problems = [*self._unread.values(), *self._picture_problems, *self._clean_problems]
        problems += self._correction_problems
        return [shown(problem) for problem in (*problems, *self._placement.notes, *self._notes)]

    @property
    def scene(self) -> bpy.types.Scene:
        """The scene to import into; the context's scene if that one was deleted meanwhile."""
        return bpy.data.scenes.get(self._scene_name) or bpy.context.scene

    def add_frames(self, indices: list[int]) -> bpy.types.Collection:
        """Import finished frames of a take that may still be growing.

        A damaged frame is left out and mentioned in :attr:`problems`.

        Parameters
        ----------
        indices : list of int
            Frame numbers.

        Returns
        -------
        bpy.types.Collection
            The take's collection.

        Raises
        ------
        TakeError
            The take cannot be read.
        """
        take = read_take(self.folder)
        collection = tree.ensure_collection(take, self.scene)
        has_grown = len(take.records) > _GROWTH * self._pictures_written
        if has_grown:
            self._pictures_written = len(take.records)
            self._write_camera(take, collection)
            self._placement.write(self.scene, collection, take)
        known = [index for index in indices if index in take.records]
        shown = surfaces.frames_in_file(collection) - set(known)
        most = SURFACES_AT_MOST if self.surfaces == "AUTO" and not take.settings.get("clean") else 0
        room = len(known) if self.surfaces == "SHOW" else max(0, most - len(shown))
        if room:
            tree.show_surfaces(collection, True)
            tree.show_hands(collection, False)
        surfaces.remove(collection, known)
        self._add(take, collection, known, set(known[:room]))
        surfaces.write_count(take, collection)
        if has_grown or most or room:  # else the job's own hands are drawn
            self._write_keypoints(take, collection)
        return collection

    def preview(self, images: Mapping[int, str]) -> bpy.types.Collection | None:
        """Show camera and footage of a take while its hands are found, before it has frames.

        Parameters
        ----------
        images : mapping of int to str
            Frame number -> path of its picture, "" for a clip: the frames whose hands were found.

        Returns
        -------
        bpy.types.Collection or None
            The take's collection; None as long as no more is to be written than before.

        Raises
        ------
        TakeError
            The take cannot be read.
        """
        if len(images) <= _GROWTH * self._pictures_written:
            return None
        take = read_take(self.folder)
        known = {index: _seen(index, image, take) for index, image in images.items()} | take.records
        self._pictures_written = len(known)
        collection = tree.ensure_collection(take, self.scene)
        tree.write_properties(collection, take)
        take = replace(take, records=dict(sorted(known.items())))
        self._write_camera(take, collection)
        self._placement.write(self.scene, collection, take)
        return collection

    def finish(self) -> bpy.types.Collection:
        """Complete the import: missing frames, clean hands, camera, footage, markers and scene settings.

        Surfaces that the take does not contain any more are deleted.

        Returns
        -------
        bpy.types.Collection
            The take's collection.

        Raises
        ------
        TakeError
            The take cannot be read.
        """
        with ensure_window():
            return self._finish(read_take(self.folder))

    def _finish(self, take: Take) -> bpy.types.Collection:
        collection = tree.ensure_collection(take, self.scene)
        had_hands = bool(clean.rigs(collection))
        motion = self._write_clean_hands(take, collection)
        wanted = self._wanted(take, motion)
        surfaces.remove(collection, surfaces.frames_in_file(collection) - wanted)
        if motion is None or wanted:
            there = {(one.get(SIDE), one.get(FRAME)) for one in surfaces.objects(collection)}
            missing = [index for index in take.records if not self._is_there(index, there, wanted)]
            surfaces.remove(collection, missing)
            self._add(take, collection, missing, wanted)
        else:
            self._tracks = keypoint_tracks(motion)
            self._done.clear()
        tree.show_surfaces(collection, motion is None or self.surfaces == "SHOW")
        tree.show_hands(collection, True)
        remove_objects([thing for thing in surfaces.objects(collection) if self._is_stale(thing, take)])
        surfaces.write_count(take, collection)
        self._write_notes(take, motion, wanted)
        self._write_keypoints(take, collection)
        if motion is not None and not had_hands:
            overlays.show_keypoints(collection, False)  # the hands are what a person wants to see
        self._write_camera(take, collection)
        self._placement.write(self.scene, collection, take, is_last=True)
        return self._complete(take, collection, motion)

    def replace_frames(self, indices: Collection[int]) -> bpy.types.Collection:
        """Bring in frames that were made again: their surfaces where those are in the file, and the clean hands.

        Camera, footage and the surfaces of other frames stay as they are. A take that was deleted from the file
        meanwhile is imported whole.

        Parameters
        ----------
        indices : collection of int
            Frame numbers.

        Returns
        -------
        bpy.types.Collection
            The take's collection.

        Raises
        ------
        TakeError
            The take cannot be read.
        """
        if tree.find_collection(take_key(self.folder)) is None:
            return self.finish()
        with ensure_window():
            take = read_take(self.folder)
            collection = tree.ensure_collection(take, self.scene)
            with conform.released(collection, self.scene):
                return self._replace(take, collection, set(indices))

    def _replace(self, take: Take, collection: bpy.types.Collection, indices: set[int]) -> bpy.types.Collection:
        motion = self._write_clean_hands(take, collection)
        in_file = surfaces.frames_in_file(collection)
        wanted = {index for index in indices if in_file and (index in in_file or motion is None)}
        surfaces.remove(collection, wanted)
        self._add(take, collection, [index for index in take.records if motion is None or index in wanted], wanted)
        if motion is not None:
            self._tracks = keypoint_tracks(motion)
        surfaces.write_count(take, collection)
        self._write_keypoints(take, collection)
        return self._complete(take, collection, motion)

    def _complete(self, take: Take, collection: bpy.types.Collection, motion: Motion | None) -> bpy.types.Collection:
        """Write what belongs to the whole take: doubt, markers, times, corrections and custom properties."""
        doubt.write_properties(collection, take, motion)
        finger_pins.renew(collection)
        self._read_corrections(take, collection)
        doubts = {index: record.doubt for index, record in take.records.items()}
        if motion is not None:
            told = clean.doubts(motion)
            # Frames between the steps of a take are always filled, so they need no check.
            doubts |= {index: reason for index, reason in told.items() if take.step == 1 or index in take.records}
        for index, record in take.records.items():
            if record.contact is not None and record.contact.doubt:
                doubts[index] = ", ".join(filter(None, (doubts.get(index), record.contact.doubt)))
        markers.write_markers(self.scene, collection, doubts, take.step)
        conform.conform_again(collection, self.scene)
        tree.write_properties(collection, take)
        views.keep_in_local_views(collection)
        self.scene.frame_set(self.scene.frame_current)
        return collection

    def _write_clean_hands(self, take: Take, collection: bpy.types.Collection) -> Motion | None:
        """Replace the clean hands and return their motion; None if the take has none or they are damaged."""
        self._clean_problems = []
        finger_pins.release(collection)
        template: Template | None = None
        motion: Motion | None = None
        try:
            template, motion = read_animation(take) or (None, None)
            self._clean_problems = clean.write_hands(collection, template, motion, take.step)
        except TakeError as error:  # the surfaces are still imported
            self._clean_problems = [str(error), *clean.write_hands(collection, None, None)]
            return None
        return motion if clean.rigs(collection) else None

    def _wanted(self, take: Take, motion: Motion | None) -> set[int]:
        """The frames whose surfaces belong into the file."""
        frames = [index for index, record in take.records.items() if record.has_surfaces]
        if self.surfaces == "SHOW":
            return set(frames)
        return set() if self.surfaces == "NONE" or motion is not None else set(frames[:SURFACES_AT_MOST])

    def _write_notes(self, take: Take, motion: Motion | None, wanted: Collection[int]) -> None:
        """Tell of the surfaces that "AUTO" left on disk, where nothing else shows the hands."""
        left = sum(record.has_surfaces for record in take.records.values()) - len(wanted)
        self._notes = []
        if left and motion is None and self.surfaces == "AUTO":
            self._notes.append(
                f"The surfaces of the first {len(wanted)} frames are shown; those of {left} more are on disk. "
                "Show Surfaces brings them in."
            )

    def _add(self, take: Take, collection: bpy.types.Collection, indices: list[int], wanted: Collection[int]) -> None:
        """Read some frames, and make the surfaces of those among them that are wanted."""
        for index in indices:
            for side in SIDES:
                self._tracks[side].pop(index, None)
            try:
                hands = take.read_hands(index) if index in wanted else {}
                points = {side: hand.keypoints for side, hand in hands.items()} or read_keypoints(take, index)
            except TakeError as error:  # finish() tries again
                self._unread[index] = str(error)
                continue
            self._done.add(index)
            self._unread.pop(index, None)
            surfaces.build(take, collection, index, hands, self.scene.frame_current)
            for side, keypoint in points.items():
                self._tracks[side][index] = keypoint

    def _read_corrections(self, take: Take, collection: bpy.types.Collection) -> None:
        """Read the person's corrections that the take has."""
        self._correction_problems = []
        try:
            corrections.update(collection, take.folder)
        except TakeError as error:
            self._correction_problems = [str(error)]

    def _is_there(self, index: int, there: set[tuple[str, int]], wanted: Collection[int]) -> bool:
        """Whether this import has added the frame, and all its surfaces still exist where they are wanted."""
        brought = {(side, index) for side in SIDES if index in self._tracks[side] and index in wanted}
        return index in self._done and brought <= there

    def _is_stale(self, thing: bpy.types.Object, take: Take) -> bool:
        """Whether a surface is of a frame, or of a side in it, that the take does not have."""
        return thing[FRAME] not in self._tracks.get(thing.get(SIDE, ""), {}) or thing[FRAME] not in take.records

    def _write_keypoints(self, take: Take, collection: bpy.types.Collection) -> None:
        origin = tree.find_object(collection, "origin")
        place = tree.child(collection, tree.KEYPOINTS)
        for side in SIDES:
            if self._tracks[side] or keypoints.find_empties(place, side):
                keypoints.write_keypoints(place, origin, side, self._tracks[side], take.step)

    def _write_camera(self, take: Take, collection: bpy.types.Collection) -> None:
        """Write the camera's animation and the footage."""
        data = tree.find_object(collection, "camera").data
        camera.set_lenses(data, take.camera, {index: record.camera for index, record in take.records.items()})
        farthest = [points[:, 2].max() for track in self._tracks.values() for points in track.values()]
        distance = max(farthest) + _FOOTAGE_GAP_M if farthest else _FOOTAGE_WITHOUT_HANDS_M
        self._picture_problems = footage.write_footage(collection, take, float(distance))
