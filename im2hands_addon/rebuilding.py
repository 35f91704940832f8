"""Rebuilds frames of a take with a person's corrections, and replaces just these frames in the scene."""

from __future__ import annotations

import bpy

from .process import messages
from .reconstruction import Reconstruction, find_backend, folder_of
from .scene import corrections, stick_hands
from .scene.ownership import require_local
from .take.edits import document


class Rebuilding(Reconstruction):
    """A running or ended rebuild; creating the object starts it. It is polled like a reconstruction.

    Parameters
    ----------
    collection : bpy.types.Collection
        The take's collection. Stick hands that are being edited are turned into corrections first.
    frames : str, optional
        The only frames to make, such as "12,20-24"; None for all that the corrections concern.
    backend : str
        The backend's Python or its environment; "" to search for it.
    scene : bpy.types.Scene, optional
        The scene; None for the context's.

    Raises
    ------
    InputError
        The take is linked from another file, or a stick hand cannot be used.
    TakeError
        The take cannot be read.
    BackendError
        There is no backend, or it cannot be started.
    """

    button = undo_name = "Rebuild Frames"
    undo_operator = "note_rebuild"
    shows_result = False

    def __init__(
        self,
        collection: bpy.types.Collection,
        frames: str | None = None,
        *,
        backend: str = "",
        scene: bpy.types.Scene | None = None,
    ) -> None:
        require_local(collection)
        found = find_backend(backend)
        folder = folder_of(collection)
        stick_hands.apply(collection)
        had = corrections.read(collection)
        edits = document(had.edits)
        self._begin_on(collection, folder, found, scene, lambda take: messages.rebuild(take, edits, had.file, frames))

    def _import_some(self) -> None:
        """Nothing: the clean hands follow from all frames, so all are brought in at the end."""
        self._waiting = []

    def _bring_in(self) -> bpy.types.Collection:
        """Replace the frames that were made again."""
        replaced = self._importer.replace_frames(self.job.frames)
        self.imported_count = len(self.job.frames)
        return replaced
