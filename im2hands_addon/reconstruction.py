"""A reconstruction: runs the backend's job and imports each frame into the scene when it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from .errors import AddonError, InputError, TakeError
from .locations import absolute, is_pattern, old_environment, own_environment, require_text, shared_folder, take_folder
from .process import environment
from .process.job import Job
from .process.options import Options
from .process.other_machine import SharedFolder
from .scene.importer import Surfaces, TakeImporter
from .scene.ownership import TAKE
from .scene.placement import Timing
from .take.reader import TAKE_FILE

_IMPORT_EVERY_SECONDS = 0.5
_FRAMES_AT_ONCE = 8
# Longest silence of the backend. Only used without a window, where nobody can press Cancel.
_GIVE_UP_SECONDS = 180.0


@dataclass(frozen=True)
class Result:
    """The result of a reconstruction.

    Parameters
    ----------
    take : Path
        The take's folder.
    collection_name : str
        Name of the take's collection; "" when nothing was imported.
    summary : dict
        The number of frames by status ("total", "ok", "partial", "empty", "failed", "reused"), and "seconds".
    cancelled : bool
        Whether the reconstruction was cancelled.
    warnings : tuple of str
        Messages for the person.
    """

    take: Path
    collection_name: str
    summary: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def collection(self) -> bpy.types.Collection | None:
        """The take's collection; None when nothing was imported or it was deleted."""
        return bpy.data.collections.get(self.collection_name)

    @property
    def exit_code(self) -> int:
        """Exit code as of the backend's own command line: 0 all frames ok, 1 some failed, 130 cancelled."""
        if self.cancelled:
            return 130
        return 1 if self.summary.get("failed") else 0


def find_backend(chosen: str) -> environment.Found:
    """Find the backend that a person chose, or that is installed.

    Parameters
    ----------
    chosen : str
        The backend's Python, its environment, or a command for another machine; "" to search for it.

    Returns
    -------
    Found
        The backend.

    Raises
    ------
    BackendError
        There is none.
    """
    return environment.find(chosen, own_environment(), old=old_environment())


def _client() -> str:
    """Name of this program in the backend's log."""
    return f"Blender {bpy.app.version_string}"


def paths_of(backend: environment.Found) -> Callable[[str | Path], str]:
    """Return the function that gives the paths by which a backend knows the files of this machine."""
    return SharedFolder(*shared_folder()).path_there if backend.command else str


def folder_of(collection: bpy.types.Collection) -> Path:
    """Return the folder of an imported take, which the backend is going to change; a ``TakeError`` if it is gone."""
    folder = absolute(str(collection[TAKE]))
    if not (folder / TAKE_FILE).is_file():
        raise TakeError(f"There is no take in {folder}.", "Is its drive connected? Import the take from its place.")
    return folder


class Reconstruction:
    """A running or ended reconstruction; creating the object starts it.

    Call :meth:`poll` until ``has_ended`` is true. Then read ``error`` and :attr:`result`. ``imported_count`` is the
    number of frames that were brought into the scene so far; ``job.found`` has the hands that were found.

    Parameters
    ----------
    inputs : list of str
        Pictures, folders, patterns (``*.jpg``, ``shot_####.png``) or a clip.
    output : str or Path, optional
        The take's folder; None for ``locations.default_take``.
    options : Options, optional
        Options of the reconstruction; None for the defaults.
    backend : str
        The backend's Python or its environment; "" to search for it.
    scene : bpy.types.Scene, optional
        The scene to import into; None for the context's.
    set_scene : bool
        Whether an untouched scene gets the take's frame range, frame rate, picture size and camera. Any other scene
        stays as it is.
    surfaces : {"AUTO", "SHOW", "NONE"}
        As for ``scene.importer.TakeImporter``.
    timing : Timing, optional
        Where a new take is placed in time, see ``scene.placement.Timing``.

    Raises
    ------
    InputError
        There is no input, an input does not exist, or a backend on another machine cannot see it.
    BackendError
        There is no backend, or it cannot be started.
    """

    button = "Reconstruct"
    """The button that starts it, and continues it after an end."""
    undo_name = "Reconstruct Hands"
    undo_operator = "note_reconstruction"
    """The operator whose undo steps have that name, and replace one another."""
    shows_result = True
    """Whether the views look at the result in the end."""

    def __init__(
        self,
        inputs: list[str],
        output: str | Path | None = None,
        options: Options | None = None,
        *,
        backend: str = "",
        scene: bpy.types.Scene | None = None,
        set_scene: bool = True,
        surfaces: Surfaces = "AUTO",
        timing: Timing | None = None,
    ) -> None:
        paths = [absolute(str(path)) for path in inputs if str(path)]
        for path in paths:
            if not path.exists() and not is_pattern(path):
                raise InputError(f"There is no {path}.", "Choose a photo, a folder or a clip.")
        self.take = require_text(take_folder(str(output or ""), [str(path) for path in paths]))
        if not paths:
            raise InputError("There is nothing to reconstruct.", "Choose a photo, a folder or a clip.")
        found = find_backend(backend)
        self._begin(TakeImporter(self.take, scene, set_scene, surfaces, timing))
        place = paths_of(found)
        wanted = (options or Options()).with_paths(place)
        self.job = Job(found, [place(path) for path in paths], place(self.take), wanted, _client())

    def _begin(self, importer: TakeImporter) -> None:
        """Set what polling needs, before the job is started."""
        self.take = importer.folder
        self.error: AddonError | None = None
        self.has_ended = False
        self._collection_name = ""
        self._waiting: list[int] = []
        self._imported_at = 0.0
        self.imported_count = 0
        self._importer = importer

    def _begin_on(
        self,
        collection: bpy.types.Collection,
        folder: Path,
        found: environment.Found,
        scene: bpy.types.Scene | None,
        request: Callable[[str], dict[str, Any]],
    ) -> None:
        """Start a job on a take that is in the file; ``request`` makes its message from the take's path there."""
        self._begin(TakeImporter(folder, scene, set_scene=False))
        self._collection_name = collection.name
        take = paths_of(found)(self.take)
        self.job = Job(found, [], take, client=_client(), request=request(take), button=self.button)

    @property
    def result(self) -> Result:
        """The result so far."""
        warnings = (*self.job.warnings, *self._importer.problems)
        cancelled = self.job.state == "cancelled"
        return Result(self.take, self._collection_name, self.job.summary, cancelled, warnings)

    @property
    def collection_name(self) -> str:
        """Name of the take's collection; "" before there is one."""
        return self._collection_name

    @property
    def scene(self) -> bpy.types.Scene:
        """The scene that the frames are imported into."""
        return self._importer.scene

    def poll(self) -> None:
        """Read the backend's messages and import a few finished frames; never waits for the backend."""
        if self.has_ended:
            return
        self._waiting += self.job.poll()
        pause = 0.0 if self.job.has_ended else _IMPORT_EVERY_SECONDS
        if time.monotonic() - self._imported_at >= pause:
            if self._waiting:
                self._import_some()
            elif self.shows_result and self.job.found and not self.job.has_ended:
                self._preview()
        if self.job.has_ended and not self._waiting:
            self._finish()

    def run(self, on_poll: Callable[[Reconstruction], None] | None = None) -> Result:
        """Poll until the end, for use without a window.

        Frames that were finished before an error are on disk and imported.

        Parameters
        ----------
        on_poll : callable, optional
            Called with this object about 50 times a second; may call :meth:`cancel`.

        Returns
        -------
        Result
            The result.

        Raises
        ------
        JobError
            The backend reported an error.
        BackendError
            The backend ended unexpectedly, or sent nothing for three minutes.
        TakeError
            The finished take cannot be read.
        """
        try:
            while not self.has_ended:
                self.poll()
                if self.job.silent_seconds > _GIVE_UP_SECONDS:
                    self.job.give_up()
                if on_poll is not None:
                    on_poll(self)
                time.sleep(0.02)
        finally:
            self.close()
        if self.error is not None:
            raise self.error
        return self.result

    def cancel(self, at_once: bool = False) -> None:
        """Ask the backend to end early; finished frames are kept and imported.

        Parameters
        ----------
        at_once : bool
            Whether to end without rigging what is done.
        """
        self.job.cancel(at_once)

    def close(self) -> None:
        """End the backend and import nothing more."""
        self.has_ended = True  # first: nothing is polled any more, whatever the rest does
        self.job.close()

    def fail(self, error: AddonError) -> None:
        """End the backend because of an error; finished frames stay on disk.

        Parameters
        ----------
        error : AddonError
            The reason, for the person.
        """
        self.error = error
        self.close()

    def _import_some(self) -> None:
        batch, self._waiting = self._waiting[:_FRAMES_AT_ONCE], self._waiting[_FRAMES_AT_ONCE:]
        try:
            self._collection_name = self._importer.add_frames(batch).name
            self.imported_count += len(batch)
        except TakeError as error:  # the import at the end tries again and reports it
            self.job.warnings.append(str(error))
        self._imported_at = time.monotonic()

    def _preview(self) -> None:
        """Show camera and footage behind the hands that were found, before the take has frames."""
        try:
            collection = self._importer.preview(self.job.images)
            if collection is not None:
                self._collection_name = collection.name
        except TakeError as error:  # the import at the end tries again and reports it
            self.job.warnings.append(str(error))
        self._imported_at = time.monotonic()

    def _finish(self) -> None:
        """Update the scene from the take on disk, however the job ended."""
        self.has_ended = True
        self.error = self.job.error
        if not self.job.frames and self.job.state != "finished":
            return
        try:
            self._collection_name = self._bring_in().name
        except TakeError as error:
            self.error = self.error or error

    def _bring_in(self) -> bpy.types.Collection:
        """Bring in what is still missing in the scene."""
        return self._importer.finish()
