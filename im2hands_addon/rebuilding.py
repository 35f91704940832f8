"""Rebuilds frames of a take with a person's corrections, and replaces just these frames in the scene."""

from __future__ import annotations

import bpy

from .errors import TakeError
from .locations import absolute, old_environment, own_environment
from .process import environment
from .process.job import Job
from .reconstruction import Reconstruction, paths_of
from .scene import corrections, stick_hands
from .scene.importer import TakeImporter
from .scene.ownership import TAKE, require_local
from .take.edits import document
from .take.reader import TAKE_FILE


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
        folder = absolute(str(collection[TAKE]))
        if not (folder / TAKE_FILE).is_file():
            raise TakeError(f"There is no take in {folder}.", "Is its drive connected? Import the take from its place.")
        stick_hands.apply(collection)
        had = corrections.read(collection)
        self._begin(TakeImporter(folder, scene, set_scene=False))
        self._collection_name = collection.name
        request = {"edits": document(had.edits), "known": had.file, "frames": frames}
        self.job = Job(
            found, [], paths_of(found)(self.take), client=f"Blender {bpy.app.version_string}", rebuild=request
        )

    def _import_some(self) -> None:
        """Nothing: the clean hands follow from all frames, so all are brought in at the end."""
        self._waiting = []

    def _bring_in(self) -> bpy.types.Collection:
        """Replace the frames that were made again."""
        replaced = self._importer.replace_frames(self.job.frames)
        self.imported_count = len(self.job.frames)
        return replaced
