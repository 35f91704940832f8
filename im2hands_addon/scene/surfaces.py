"""Brings the implicit surfaces of a take from disk into the file, and knows which are still on disk.

A surface is a mesh of some 17 000 vertices for each hand and frame, so surfaces are brought in only when they are
shown, and a few frames at a time.
"""

from __future__ import annotations

from collections.abc import Collection

import bpy

from ..errors import TakeError
from ..take.reader import Hand, Take, read_take
from . import doubt, meshes, tree
from .ownership import FRAME, TAKE, remove_objects, require_local, role_of

ON_DISK = "im2hands_surfaces_on_disk"
"""Property of a take's collection: the number of frames whose surfaces are not in this file."""


def objects(collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The surface objects of a take in this file."""
    return [one for one in collection.all_objects if role_of(one) == "surface" and one.get(FRAME) is not None]


def frames_in_file(collection: bpy.types.Collection) -> set[int]:
    """The frames of which at least one hand's surface is in this file."""
    return {int(one[FRAME]) for one in objects(collection)}


def frames_on_disk(take: Take, collection: bpy.types.Collection) -> list[int]:
    """The frames with surfaces that are not in this file, ascending."""
    there = frames_in_file(collection)
    return [index for index, record in take.records.items() if record.has_surfaces and index not in there]


def write_count(take: Take, collection: bpy.types.Collection) -> int:
    """Store how many frames are still on disk, and return the number."""
    collection[ON_DISK] = len(frames_on_disk(take, collection))
    return collection[ON_DISK]


def count_on_disk(collection: bpy.types.Collection) -> int:
    """How many frames of a take have surfaces on disk that are not in this file; 0 if that was never stored."""
    return int(collection.get(ON_DISK, 0))


def remove(collection: bpy.types.Collection, frames: Collection[int]) -> None:
    """Delete the surfaces of some frames from the file."""
    gone = set(frames)
    remove_objects([one for one in objects(collection) if int(one[FRAME]) in gone])


def build(take: Take, collection: bpy.types.Collection, index: int, hands: dict[str, Hand], now: int) -> None:
    """Make the surface objects of a frame.

    Parameters
    ----------
    take : Take
        The take.
    collection : bpy.types.Collection
        The take's collection.
    index : int
        Frame number.
    hands : dict
        Side -> hand, from ``take.read_hands``.
    now : int
        The scene's current frame.
    """
    origin = tree.find_object(collection, "origin") if hands else None
    for side, hand in hands.items():
        thing = meshes.build_surface(index, side, hand, take.step, now)
        thing.parent = origin
        tree.ensure_child(collection, tree.SURFACES[side]).objects.link(thing)


class SurfaceLoading:
    """Brings surfaces from disk into the file, a few frames at a time.

    It keeps no references to Blender data between calls, so that the person may undo meanwhile.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.
    frames : tuple of int, optional
        First and last frame, inclusive; None for all.

    Attributes
    ----------
    total : int
        The number of frames to bring in.
    done : int
        The number of frames that were brought in or could not be read.
    problems : list of str
        Messages about frames that could not be read.

    Raises
    ------
    InputError
        The collection is linked from another file.
    TakeError
        The take cannot be read.
    """

    def __init__(self, collection: bpy.types.Collection, frames: tuple[int, int] | None = None) -> None:
        require_local(collection)
        self._key = collection[TAKE]
        self.problems: list[str] = []
        self.done = 0
        self._waiting: list[int] = []
        # A file of an older version of the add-on has no number; then its surfaces are all there, or none.
        if ON_DISK not in collection and objects(collection):
            collection[ON_DISK] = 0
        if ON_DISK not in collection or collection[ON_DISK]:
            self._take = read_take(self._key)
            first, last = frames or (min(self._take.records, default=0), max(self._take.records, default=0))
            # A frame is seen until the next one, so the frame before the range may be seen in it.
            first -= self._take.step - 1
            self._waiting = [one for one in frames_on_disk(self._take, collection) if first <= one <= last]
        self.total = len(self._waiting)

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to bring in."""
        return not self._waiting

    def step(self, count: int | None = None) -> None:
        """Bring in some frames.

        Parameters
        ----------
        count : int, optional
            The greatest number of frames; None for all.
        """
        collection = tree.find_collection(self._key)
        if collection is None:  # the person deleted the take
            self._waiting.clear()
        if not self._waiting:
            return
        now = next((one for one in bpy.data.scenes if collection in one.collection.children_recursive), None)
        count = len(self._waiting) if count is None else count
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        for index in batch:
            try:
                hands = self._take.read_hands(index)
                build(self._take, collection, index, hands, (now or bpy.context.scene).frame_current)
            except TakeError as error:
                self.problems.append(str(error))
            self.done += 1
        write_count(self._take, collection)
        if self.has_ended and doubt.is_colored(collection):
            doubt.color_meshes(collection, True)


class SurfacesOnDisk:
    """The surfaces of a take that are not in the file, for an export.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection.

    Raises
    ------
    TakeError
        The take cannot be read.
    """

    def __init__(self, collection: bpy.types.Collection) -> None:
        self._take = read_take(collection[TAKE]) if count_on_disk(collection) else None
        self._frames = set(frames_on_disk(self._take, collection)) if self._take is not None else set()
        self._last: tuple[int, dict[str, Hand]] = (-1, {})

    @property
    def sides(self) -> set[str]:
        """The hands that occur."""
        records = self._take.records if self._take is not None else {}
        return {side for index in self._frames for side in records[index].confidence}

    def hand(self, side: str, frame: int) -> Hand | None:
        """Read the hand that is seen on a scene frame.

        Parameters
        ----------
        side : str
            "left" or "right".
        frame : int
            The scene frame.

        Returns
        -------
        Hand or None
            The hand; None if there is none, or its surface is in the file.

        Raises
        ------
        TakeError
            The frame cannot be read.
        """
        step = self._take.step if self._take is not None else 0
        index = next((one for one in range(frame, frame - step, -1) if one in self._frames), None)
        if index is None:
            return None
        if self._last[0] != index:
            self._last = index, self._take.read_hands(index)
        return self._last[1].get(side)
