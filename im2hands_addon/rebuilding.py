"""Rebuilds frames of a take with a person's corrections, and replaces just these frames in the scene."""

from __future__ import annotations

import bpy

from .locations import old_environment, own_environment
from .process import environment, messages
from .process.job import Job
from .reconstruction import Reconstruction, folder_of, paths_of
from .scene import corrections, stick_hands
from .scene.importer import TakeImporter
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
        found = environment.find(backend, own_environment(), old=old_environment())
        folder = folder_of(collection)
        stick_hands.apply(collection)
        had = corrections.read(collection)
        self._begin(TakeImporter(folder, scene, set_scene=False))
        self._collection_name = collection.name
        request = messages.rebuild(paths_of(found)(self.take), document(had.edits), had.file, frames)
        client = f"Blender {bpy.app.version_string}"
        self.job = Job(found, [], paths_of(found)(self.take), client=client, request=request, button=self.button)

    def _import_some(self) -> None:
        """Nothing: the clean hands follow from all frames, so all are brought in at the end."""
        self._waiting = []

    def _bring_in(self) -> bpy.types.Collection:
        """Replace the frames that were made again."""
        replaced = self._importer.replace_frames(self.job.frames)
        self.imported_count = len(self.job.frames)
        return replaced
