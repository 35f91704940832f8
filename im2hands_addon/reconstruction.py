"""The backend's job and the importer together: frames appear in the scene as they are finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy

from .errors import AddonError, InputError, TakeError
from .locations import absolute, default_take, own_environment
from .process import environment
from .process.job import Job
from .process.options import Options
from .scene.importer import Surfaces, TakeImporter

_IMPORT_EVERY_SECONDS = 0.5
_FRAMES_AT_ONCE = 8
# Nobody is there to press Cancel when there is no window.
_GIVE_UP_SECONDS = 180.0


@dataclass(frozen=True)
class Result:
    """What a reconstruction came to.

    Args:
        take: the take's folder. collection_name: the take's collection, "" when nothing was imported.
        summary: frames by status ("total", "ok", "partial", "empty", "failed", "reused") and "seconds".
        cancelled: whether it was ended early. warnings: for a person.
    """

    take: Path
    collection_name: str
    summary: dict[str, Any] = field(default_factory=dict)
    cancelled: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def collection(self) -> bpy.types.Collection | None:
        """The take's collection."""
        return bpy.data.collections.get(self.collection_name)

    @property
    def exit_code(self) -> int:
        """0 all frames ok, 1 some failed, 130 cancelled: what the backend's own command line returns."""
        if self.cancelled:
            return 130
        return 1 if self.summary.get("failed") else 0


class Reconstruction:
    """Start one by making it; call :meth:`poll` until it ``has_ended``, then take :attr:`result` or see ``error``.

    Args:
        inputs: pictures, folders or a clip. output: the take's folder; None for :func:`.locations.default_take`.
        options: what to do. backend: the backend's environment; "" to find it. scene: where to; None for the context's.
        set_scene: whether to give the scene the take's range, rate, size and camera. surfaces: as for the importer.

    Raises:
        InputError: an input that is not there. BackendError: no backend, or it cannot be started.
    """

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
    ) -> None:
        paths = [absolute(str(path)) for path in inputs if str(path)]
        for path in paths:
            if not path.exists():
                raise InputError(f"There is no {path}.", "Choose a photo, a folder or a clip.")
        self.take = absolute(str(output)) if output else default_take([str(path) for path in paths])
        if not paths:
            raise InputError("There is nothing to reconstruct.", "Choose a photo, a folder or a clip.")
        python = environment.find(backend, own_environment()).python
        self.error: AddonError | None = None
        self.has_ended = False
        self._collection_name = ""
        self._waiting: list[int] = []
        self._imported_at = 0.0
        self._importer = TakeImporter(self.take, scene, set_scene, surfaces)
        client = f"Blender {bpy.app.version_string}"
        self.job = Job(python, [str(path) for path in paths], self.take, options or Options(), client)

    @property
    def result(self) -> Result:
        """What it came to so far."""
        warnings = (*self.job.warnings, *self._importer.problems)
        cancelled = self.job.state == "cancelled"
        return Result(self.take, self._collection_name, self.job.summary, cancelled, warnings)

    def poll(self) -> None:
        """Go on: import what is finished, a few frames at a time."""
        if self.has_ended:
            return
        self._waiting += self.job.poll()
        pause = 0.0 if self.job.has_ended else _IMPORT_EVERY_SECONDS
        if self._waiting and time.monotonic() - self._imported_at >= pause:
            self._import_some()
        if self.job.has_ended and not self._waiting:
            self._finish()

    def run(self, on_poll: Callable[[Reconstruction], None] | None = None) -> Result:
        """Poll until the end, for use without a window.

        Args:
            on_poll: called with this object now and then; may call :meth:`cancel`.

        Raises:
            JobError, BackendError: the job failed; what was finished is imported and on disk.
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

    def cancel(self) -> None:
        """Ask for the end; what is finished is kept and imported."""
        self.job.cancel()

    def close(self) -> None:
        """Let the backend go without importing anything more."""
        self.job.close()
        self.has_ended = True

    def _import_some(self) -> None:
        batch, self._waiting = self._waiting[:_FRAMES_AT_ONCE], self._waiting[_FRAMES_AT_ONCE:]
        try:
            self._collection_name = self._importer.add_frames(batch).name
        except TakeError as error:  # the end will tell whether the take is readable
            self.job.warnings.append(str(error))
        self._imported_at = time.monotonic()

    def _finish(self) -> None:
        """Bring the scene in line with the take on disk, whatever way the job ended."""
        self.has_ended = True
        self.error = self.job.error
        if not self.job.frames and self.job.state != "finished":
            return
        try:
            self._collection_name = self._importer.finish().name
        except TakeError as error:
            self.error = self.error or error
